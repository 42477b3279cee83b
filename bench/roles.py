"""The special parts that methods can have in a comparison (`Method.role`). Reports measure other methods against
them."""

REFERENCE = "reference"
GIVEN = "given network"
NARROWER = "narrower network"
RANDOM_PRUNING = "random pruning"
GLOBAL_PRUNING = "global magnitude pruning"
LAYERWISE_PRUNING = "layerwise magnitude pruning"

ROLES = (REFERENCE, GIVEN, NARROWER, RANDOM_PRUNING, GLOBAL_PRUNING, LAYERWISE_PRUNING)
