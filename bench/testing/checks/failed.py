"""What a check raises."""


class CheckFailed(AssertionError):
    """The method breaks a rule. The message says which, and what to do."""
