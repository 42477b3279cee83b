"""Checks of a method's size: requested values, counted values, and the values that masks keep."""

import json
import math
import struct
import unittest
from collections.abc import Collection

import torch

from bench import budget, count, masks
from bench.errors import BudgetError
from bench.files import artifact
from bench.measure import account
from bench.method import Compressed
from bench.testing.checks.failed import CheckFailed
from bench.testing.one_number import several_in_one
from bench.testing.subject import Subject

# The ratios that are tried.
RATIOS = (2, 4, 8, 16, 32)
# The ratios of bytes that are tried; each takes several compressions.
RATIOS_OF_BYTES = (4, 8)
_HOPELESS = 100_000

# The bytes of a float32, the type in which every method trains.
_BYTES_OF_A_VALUE = 4

# The most bytes of `structure()`, as a share of the values' bytes, which don't include it. A few numbers for each layer
# are fewer.
_STRUCTURE = 0.1
# The size of the random change that makes values look trained.
_MOVED = 0.001
# Tensors of batch norm's statistics, which are the same for all methods.
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def meets_budgets(subject: Subject) -> None:
    """At each ratio from 2x to 32x, the method stores the requested number of values, within 1 %, or refuses with the
    reason."""
    refused = []
    for ratio in RATIOS if subject.method.sized_by_budget else ():
        requested = subject.requested(ratio)
        try:
            compressed = subject.settled(requested)
        except BudgetError as error:
            refused.append(_reason(error, ratio))
            continue
        stored = count.stored_values(compressed.network)
        assert requested is not None
        if not budget.met(requested, stored):
            nonzero = sum(int(tensor.count_nonzero()) for tensor in count.stored_tensors(compressed.network).values())
            hint = ""
            if budget.met(requested, nonzero):
                hint = ": its zeros count, since no mask says that they stay zero (bench.masks.attach)"
            raise CheckFailed(
                f"at {ratio}x it stores {stored:,} values, but {requested:,} were asked for{hint}; raise a "
                "BudgetError for a budget that can't be met within 1 %"
            )
    if len(refused) == len(RATIOS):
        raise unittest.SkipTest(refused[0])


def meets_budgets_of_bytes(subject: Subject) -> None:
    """The method meets budgets of bytes too, and its file holds exactly the counted bytes: the tensors, and the places
    of the values that masks keep."""
    if not subject.method.sized_by_bytes:
        raise unittest.SkipTest("a budget of bytes can't decide its size")
    refused = []
    for ratio in RATIOS_OF_BYTES:
        requested = subject.requested_bytes(ratio)
        try:
            compressed = subject.settled_in_bytes(requested)
        except BudgetError as error:
            refused.append(_reason(error, ratio))
            continue
        _require_met(ratio, requested, account.stored(compressed).counted_bytes, "when compressed", budget.TOLERANCE)
        _train_a_little(compressed)
        counted, held = account.stored(compressed, settled=True).counted_bytes, _bytes_in_file(subject, compressed)
        _require_met(ratio, requested, counted, "after training", budget.TOLERANCE_TRAINED)
        if held != counted:
            raise CheckFailed(f"at {ratio}x in bytes {counted:,} bytes are counted, but its file holds {held:,}")
    if len(refused) == len(RATIOS_OF_BYTES):
        raise unittest.SkipTest(refused[0])


def refuses_the_impossible(subject: Subject) -> None:
    """A budget that no method can meet is refused, with a reason that contains numbers."""
    if not subject.method.sized_by_budget:
        raise unittest.SkipTest("its size is fixed")
    requested = subject.requested(_HOPELESS)
    try:
        subject.compress(requested)
    except BudgetError as error:
        _reason(error, _HOPELESS)
    else:
        raise CheckFailed(f"it does not raise BudgetError for a budget of only {requested} values")


def keeps_masks_and_count(subject: Subject) -> None:
    """After training, a method stores as many values as before (a gradual method, as many as requested). Values that
    masks leave out are zero."""
    taught = subject.taught
    network = taught.compressed.network
    after = masks.of(network)
    at_end = subject.method.at_size == "at the end"
    for name, before in taught.masks_before.items():
        if name not in after:
            raise CheckFailed(f"the mask of {name} is gone after training")
        if not at_end and int(after[name].sum()) > int(before.sum()):
            raise CheckFailed(
                f"the mask of {name} was not kept: it keeps {int(before.sum()):,} values when compressed, but "
                f"{int(after[name].sum()):,} after training"
            )
    for name, mask in after.items():
        if network.get_parameter(name)[~mask].any():
            raise CheckFailed(f"{name} has values after training that its mask leaves out")
    stored = count.stored_values(network)
    if at_end and subject.possible is not None:
        # The exact number may depend on the training.
        if not budget.met(subject.possible, stored):
            raise CheckFailed(f"after training it stores {stored:,} values, but {subject.possible:,} were asked for")
    elif stored != taught.stored_before:
        raise CheckFailed(f"it stores {taught.stored_before:,} values when compressed, but {stored:,} after training")


def is_counted_right(subject: Subject) -> None:
    """The harness counts exactly the values in the file, which are counted here from the file's header alone. The file
    hides no others."""
    compressed = subject.taught.compressed
    found = _values_in_file(artifact.pack(compressed, subject.describe(compressed)))
    counted, stored = sum(values for values, _ in found.values()), count.stored_values(compressed.network)
    if counted != stored:
        raise CheckFailed(f"{stored:,} values are counted, but its file holds {counted:,}")
    for name, (values, size) in found.items():
        if size > _BYTES_OF_A_VALUE * values:
            raise CheckFailed(
                f"{name} takes {size / values:.2g} bytes per value, but float32 takes {_BYTES_OF_A_VALUE}: it holds "
                "more than is counted"
            )
    described = _without_names(compressed.structure(), {name for name, _ in subject.network().named_modules()})
    if described > _STRUCTURE * _BYTES_OF_A_VALUE * stored:
        raise CheckFailed(
            f"structure() takes {described:,} bytes beside {stored:,} values, not counting names of layers: it is for "
            "the shape of the network; put anything else into parameters or buffers, which are counted"
        )


def stores_one_value_a_number(subject: Subject) -> None:
    """Different bits of a stored number change the same weights, so each number is one value, as it is counted."""
    compressed = subject.settled(subject.possible)
    image, random = subject.tiny.images()[0][:1], torch.Generator().manual_seed(6)
    if found := several_in_one(compressed.network, image, random):
        raise CheckFailed(f"{found}: it holds several values but counts as one; give each value its own number")


def _require_met(ratio: int, requested: int, counted: int, when: str, tolerance: float) -> None:
    if not budget.met(requested, counted, tolerance):
        raise CheckFailed(
            f"at {ratio}x in bytes it has {counted:,} {when}, but {requested:,} were asked for: a float has four "
            "bytes, or two if settle() rounds it to half precision and `half` names it"
        )


def _train_a_little(compressed: Compressed) -> None:
    """Change the values a little, as training does. Otherwise a file would need fewer bytes for values that happen to
    be round, like batch norm's initial ones."""
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in compressed.network.parameters():
            parameter.add_(_MOVED * torch.randn(parameter.shape, generator=random))
        masks.enforce(masks.pairs(compressed.network))
    compressed.settle()


def _bytes_in_file(subject: Subject, compressed: Compressed) -> int:
    """The bytes of the file's tensors and of the places of their values, from the header alone, without batch norm's
    statistics."""
    content = artifact.pack(compressed, subject.describe(compressed))
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return sum(
        entry["data_offsets"][1] - entry["data_offsets"][0]
        for name, entry in header.items()
        if name != "__metadata__" and not name.endswith(_STATISTICS)
    )


def _values_in_file(content: bytes) -> dict[str, tuple[int, int]]:
    """Values and their bytes by name, from an artifact's header alone: independent of bench.count and of the
    network."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    layout = json.loads(header.pop("__metadata__")["bench"]).get("layout", {})
    found = {}
    for name, entry in header.items():
        if name.endswith(":mask") or name.endswith(_STATISTICS):
            continue
        packed = layout.get(name, {})
        shape = packed["shape"] if "dtype" in packed else entry["shape"]
        start, end = entry["data_offsets"]
        found[name] = math.prod(shape) * (2 if entry["dtype"].startswith("C") else 1), end - start
    return found


def _reason(error: BudgetError, ratio: int) -> str:
    if not any(character.isdigit() for character in str(error)):
        raise CheckFailed(f"at {ratio}x it refuses without a number: {error}")
    return str(error)


def _without_names(structure: object, names: Collection[str]) -> int:
    """The bytes of a structure as JSON, without the names of layers: their number depends on the network."""
    match structure:
        case dict():
            return sum(_without_names(key, names) + _without_names(value, names) for key, value in structure.items())
        case list() | tuple():
            return sum(1 + _without_names(value, names) for value in structure)
        case str() if structure in names or structure.replace("/", ".") in names:
            return 0
    return len(json.dumps(structure))
