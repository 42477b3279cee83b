"""McNemar's exact test: is one of two networks right more often, by the images that only one of them gets right?

It takes the two networks as they are, and says nothing of others that the same method would give: the interval over
seeds does. So it stands only where there is a single seed, and no interval.
"""


def p_value(one_alone: int, other_alone: int) -> float:
    """Two-sided, of how many images one network alone gets right and how many the other: each would be as likely if the
    networks were as good. 1 if there are none."""
    from scipy.stats import binomtest  # here, since to import it takes longer than most of a report

    images = one_alone + other_alone
    return float(binomtest(one_alone, images).pvalue) if images else 1.0
