"""The parts that methods can have in a comparison (`Method.role`), for reports to measure others against."""

REFERENCE = "reference"
GIVEN = "given network"
NARROWER = "narrower network"
RANDOM_PRUNING = "random pruning"
GLOBAL_PRUNING = "global magnitude pruning"
LAYERWISE_PRUNING = "layerwise magnitude pruning"

ROLES = (REFERENCE, GIVEN, NARROWER, RANDOM_PRUNING, GLOBAL_PRUNING, LAYERWISE_PRUNING)
