"""The error that a check raises."""


class CheckFailed(AssertionError):
    """The method breaks a rule. The message names the rule and the way to mend it."""
