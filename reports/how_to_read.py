"""How to read a report: the same words on the page and in Markdown."""

_READING = (
    "Stored values are the distinct numbers needed to rebuild the network at inference, batch-norm statistics apart. "
    "The ratio is dense to stored. A budget is met within 1 %; runs that missed it are listed with reasons, not drawn.",
    "Bytes are those of the saved file, which a fresh process has loaded and found to give the same outputs.",
    "The score is on the test split, evaluated once, after the last epoch; in brackets behind it stands the standard "
    "deviation over seeds. It includes the effect of a seed on all methods alike, so it says little about differences. "
    "The change is against the dense run of the same seed, and behind ± stands half the width of its 95 % interval, by "
    "variances that all methods and budgets inform. Choose by the validation score, never by test.",
    "On corrupted images stands the mean score over all corruptions (noise, blur, weather, how images are stored) and "
    "strengths, of networks that were trained on clean ones. Random draws for an image are the same for all networks.",
    "Where methods were tried at several learning rates, all of this is of one rate for each method and budget: that "
    "with the best mean validation score over all seeds. The audit has the others.",
    "MACs are multiply-accumulates of one image's forward pass as deployed; behind the + stand those that "
    "computing the kernels adds to each forward pass in training.",
    "Latency is the time of one image as deployed, the lower quartile of rounds, on the hardware that the audit names.",
    "In figures methods stand 3 % apart in x, so that none hides another; a dot is a seed; an arrow at an edge stands "
    "for a point beyond it.",
    "A point is on the Pareto front if no other has a better score and is at most as large; that sizes within 1 % "
    "count as equal keeps a method from winning by a few values. Its probability to be there comes from means "
    "drawn by the spread of their seeds.",
    "Values for the same score, over all budgets that two methods met: the geometric mean of the sizes at which one "
    "scores as the other does (Bjontegaard's measure), along straight lines between budgets.",
    "The test set is a sample, too{example} common to all methods of a setting, so their differences are surer than "
    "their scores.",
    "Published points are other people's numbers, from other code, schedules and images. They are never averaged or "
    "tested with measured ones.",
)
_EXAMPLE = ": where 85 % of 4,000 images are right, the error of that is 0.6 points. It is"


def reading(counts_images: bool) -> list[str]:
    """The lines; with an example of images that are right, where that is what scores count."""
    return [line.format(example=_EXAMPLE if counts_images else ", and its error is") for line in _READING]
