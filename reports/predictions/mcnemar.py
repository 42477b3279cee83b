"""McNemar's exact test of whether one of two networks is right more often, from the images that only one of them gets
right.

It compares these two networks and says nothing of other networks from the same methods; the interval over seeds does
that. So reports use it only for a single seed, which has no interval.
"""


def p_value(one_alone: int, other_alone: int) -> float:
    """The two-sided p-value, from the numbers of images that only the first and only the second network gets right.
    Under the null hypothesis both are equally likely. 1 if there are no such images."""
    from scipy.stats import binomtest  # imported here: the import takes longer than most of a report

    images = one_alone + other_alone
    return float(binomtest(one_alone, images).pvalue) if images else 1.0
