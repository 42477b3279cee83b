"""The columns of a report's tables, with their meanings and units, and the axes of its figures."""

# The x axes of figures, with their titles; smaller is better on each.
AXES = {
    "stored_values": "stored values (parameters)",
    "counted_bytes": "stored bytes as budgets count them",
    "stored_bytes": "bytes of the saved file",
    "macs": "multiply-accumulates of one image as deployed",
    "latency_ms": "latency of one image (ms)",
    "train_seconds": "training time (s)",
}

# Every column of the summary with its meaning and unit, in the order of summary.csv. A score is in the unit of the
# setting's metric, a difference of percentages in points.
SUMMARY_COLUMNS = {
    "setting": "network, data and schedule; scores of different settings are not comparable",
    "metric": "the score below: a column of results.csv",
    "method": "how the method is called",
    "method_name": "the plugin's name",
    "method_text": "the plugin's name with the options that are not at their default",
    "role": "the method's part in the comparison (reference, narrower network...); empty: an ordinary method",
    "budget": "the requested budget; empty for a method of fixed size",
    "learning_rate_factor": "factor on the schedule's learning rate: the one with the best validation score",
    "rates_tried": "number of learning rates tried for this method and budget",
    "n": "seeds with a finished run; every mean below is over these",
    "unit": "values or bytes: the unit of the setting's budgets",
    "asked": "size that the budget asks for, in this unit",
    "size": "stored size in this unit, mean",
    "requested_ratio": "dense size / asked",
    "ratio": "dense size / size, mean",
    "stored_values": "values, mean",
    "compression": "dense_values / stored_values, mean",
    "counted_bytes": "stored bytes without batch-norm statistics and the file's header, mean",
    "stored_bytes": "bytes of the artifact's file, mean",
    "macs": "multiply-accumulates of one image's forward pass as deployed, mean",
    "generation_macs": "multiply-accumulates that training adds to each forward pass to compute the kernels, mean",
    "latency_ms": "milliseconds for one image as deployed, mean",
    "latency_128_ms": "milliseconds for 128 images at once, mean",
    "score_mean": "mean",
    "score_std": "standard deviation over seeds (n - 1)",
    "score_interval": "half the width of the mean's 95 % interval from its own seeds (Student's t)",
    "score_adjusted": "estimated mean if no seed of the budget were missing; methods are ordered by it",
    "validation_mean": "the same metric on the validation split, mean",
    "corrupted_mean": "the same metric on corrupted test images, mean; empty: not every seed was tested on them",
    "test_top5_mean": "percent",
    "test_loss_mean": "nats",
    "test_loss_std": "nats",
    "difference": "score minus that of the dense run of the same seed, mean",
    "difference_std": "standard deviation",
    "difference_interval": "half the width of the difference's 95 % interval, paired by seed, by moderated variances",
    "difference_p_value": "p-value of the difference: two-sided, for this difference alone",
    "mcnemar_p_value": "if only one seed has a dense run, and so no interval: McNemar's exact test, two-sided, of "
    "whether the two networks are right equally often; for metrics that count images",
    "as_good_as_dense": "whether it loses no more than half a point (95 % sure); empty: unknown",
    "compared_seeds": "most seeds that the method shares with another one of its budget; 0: it was not compared",
    "worse_p_value": "p-value that another method of the budget is better: the smallest one-sided p-value against "
    "another method, times the number of others, at most 1",
    "standing": "may be the best, not the best, spreads too widely to tell, or not compared",
    "is_best": "whether it may be the best, and no method with a higher mean is ruled out; empty: unknown",
    "least_difference": "the least difference between two methods of the budget that its seeds would usually detect",
    "least_difference_5_seeds": "the same with five seeds",
    "churn_mean": "percent of the test images whose predicted class differs from the dense run's of the same seed, "
    "mean over the seeds that have a dense run",
    "calibration_error_mean": "expected calibration error in percent (Guo et al. 2017), mean",
    "train_seconds": "seconds of all epochs, mean",
    "compress_seconds": "seconds to compress, the method's own cost, mean",
    **{f"front_{axis}": f"probability that the point is on the Pareto front over {axis}" for axis in AXES},
}

PAIR_COLUMNS = {
    "setting": "network, data and schedule",
    "metric": "a column of results.csv",
    "budget": "the requested budget",
    "unit": "values or bytes",
    "asked": "size that the budget asks for, in this unit",
    "method": "the first method",
    "other": "the second method, or the dense reference",
    "seeds": "number of seeds that both have",
    "difference": "score of the method minus that of the other, by seed, mean",
    "difference_interval": "half the width of the difference's 95 % interval, by moderated variances",
    "p_value": "two-sided, for this pair alone: above 0.05 if the interval contains 0",
    "corrected_p_value": "corrected for all pairs of methods of the budget (Holm 1979); empty against dense",
    "worse_p_value": "one-sided, that the method is worse than the other, times the number of others; below 0.05 the "
    "method is not the best of its budget; empty against dense",
}

OVERALL_COLUMNS = {
    "setting": "network, data and schedule",
    "metric": "a column of results.csv",
    "method": "how the method is called",
    "method_text": "the plugin's name with the options that are not at their default",
    "role": "the method's part in the comparison",
    "budgets": "the budgets that all of these methods met, over which they are compared",
    "seeds": "number of seeds that the method shares with the best one; for the best one, the most shared with another",
    "score": "mean over the logarithm of the size and over seeds, estimated as if no run were missing",
    "difference": "score minus that of the best method, paired by seed, mean",
    "difference_interval": "half the width of the difference's 95 % interval",
    "worse_p_value": "p-value that another method is better, as in summary.csv",
    "standing": "may be the best, not the best, spreads too widely to tell, or not compared",
    "mean_rank": "mean rank over these budgets, 1 is the best",
    "unit": "values or bytes: the unit of the setting's budgets",
    "size_for_the_same": "stored values (bytes) for the same score, relative to the best method",
    "as_good_as_dense_size": "the fewest values (bytes) with which it loses no more than half a point (95 % sure)",
    "as_good_as_dense_compression": "the same size as a compression ratio",
}

# Columns of by_settings.csv.
SETTING_COLUMNS = {
    "method": "as in summary.csv",
    "method_text": "the plugin's name with its options",
    "mean_rank": "mean rank over the settings in which all of these methods were compared, 1 is the best",
    "setting": "network, data, schedule",
    "score": "as in overall.csv",
    "rank": "rank in this setting among these methods",
}
