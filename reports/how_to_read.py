"""How to read a report: the same text on the page and in Markdown."""

_READING = (
    "Stored values are the distinct numbers needed to rebuild the network at inference, without batch-norm statistics. "
    "The ratio is dense to stored. A budget is met within 1 %. Runs that missed it are listed with the reason and not "
    "drawn.",
    "Bytes are the size of the saved file. A fresh process has loaded this file and got the same outputs.",
    "The score is on the test split, evaluated once, after the last epoch. The number in brackets is its standard "
    "deviation over seeds. It includes the effect of a seed on all methods alike, so it says little about differences. "
    "The change is the score minus that of the dense run of the same seed. The number after ± is half the width of its "
    "95 % interval, from a common model of the variances of all methods and budgets. Choose by the validation score, "
    "never by test.",
    "The score on corrupted images is the mean over all corruptions (noise, blur, weather, lossy storage) and "
    "strengths. The networks were trained on clean images. All networks see the same corrupted images.",
    "If a method was tried at several learning rates, all its numbers are from one rate for each budget: the rate with "
    "the best mean validation score over all seeds. The audit has the others.",
    "MACs are multiply-accumulates of one image's forward pass as deployed. The number after + is what computing the "
    "kernels adds to each forward pass in training.",
    "Latency is the time of one image as deployed, the lower quartile of rounds, on the hardware that the audit names.",
    "In figures, methods are moved 3 % apart in x, so that no method hides another. A dot is a seed. An arrow at an "
    "edge is a point beyond it.",
    "A point is on the Pareto front if no other point has a better score and is at most as large. Sizes within 1 % "
    "count as equal, so that no method wins by a few values. The probability that a point is on the front comes from "
    "means drawn by the spread of their seeds.",
    "Values for the same score compares two methods over all budgets that both met. It is the geometric mean of the "
    "ratio of sizes at equal scores (Bjontegaard's measure), along straight lines between budgets.",
    "The test set is a sample{example}, which is common to all methods of a setting, so their differences are surer "
    "than their scores.",
    "Published points are other people's numbers, from other code, schedules and images. They are never averaged with "
    "or tested against measured ones.",
)
_EXAMPLE = " (with 85 % of 4,000 images right, the standard error is 0.6 points)"


def reading(counts_images: bool) -> list[str]:
    """The lines. If scores count images that are right, one line has an example."""
    return [line.format(example=_EXAMPLE if counts_images else "") for line in _READING]
