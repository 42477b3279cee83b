"""How to read a report: the same words on the page and in Markdown."""

READING = (
    "Stored values are the distinct numbers needed to rebuild the network at inference, batch-norm statistics apart. "
    "The ratio is dense to stored. A budget is met within 1 %; what missed it is listed with its reason, not drawn.",
    "Bytes are those of the saved file, which a fresh process has loaded and found to give the same outputs.",
    "Top-1 is on the test split, evaluated once, after the last epoch. Behind ± stands half the width of the mean's "
    "95 % interval (Student's t over seeds); with two seeds that is wide, and honest. The change is against the dense "
    "run of the same seed.",
    "MACs are multiply-accumulates of one image's forward pass as deployed; behind the + is what computing the kernels "
    "adds to each forward pass in training.",
    "Latency is the median time of one image as deployed, on the hardware that the audit names.",
    "A point is on the Pareto front if no other is more accurate and at most as large; that sizes within 1 % count as "
    "equal keeps a method from winning by a few values. How often it is there when seeds are drawn again with "
    "replacement says how sure that is: with three seeds there are ten different draws, so take it as a hint.",
    "Published points are other people's numbers, from other code, schedules and images. They are never averaged or "
    "tested with measured ones.",
)
