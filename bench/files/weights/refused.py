"""Why a pickle is refused: the names of what it would call, read from its instructions without running them."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bench.files.weights.words import SAVE, few

# The newest pickle protocol that torch reads without running anything.
_READ = 3
# The names that a pickled state_dict uses.
_HARMLESS = ("torch._utils.", "torch._tensor.", "torch.storage.", "torch.nn.parameter.", "collections.OrderedDict")


def reason(path: Path) -> str:
    """Why a pickle was refused: the names of what it would have called. They are read from its instructions without
    running them."""
    called = list(dict.fromkeys(name for name in _called(path) if not name.startswith(_HARMLESS)))
    if not called and (protocol := _protocol(path)) > _READ:
        return (
            f"was saved with pickle's protocol {protocol}, which torch can't read without running its content; load "
            f"it on the machine that made it, and save it without pickle_protocol: {SAVE}"
        )
    if not called:
        return "is damaged, or holds more than tensors and numbers; bench runs no code of a file"
    own = [name for name in called if not name.startswith("torch.nn.")] or called
    if own != called or called[0].startswith("torch.nn."):
        return (
            f"holds a whole network, saved by torch.save(network), and loading it would run code ({few(own)}); load "
            f"it on the machine that made it, and save only its weights: {SAVE}"
        )
    return (
        f"would run code if it were loaded ({few(own)}), and bench runs no code of a file; if you trust it, load it "
        f"elsewhere and save only the weights: {SAVE}"
    )


def _called(path: Path) -> Iterator[str]:
    """The names that a pickle imports."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            content = archive.read(name)
    else:
        content = path.read_bytes()
    # The old format is several pickles in a row, followed by the bytes of the tensors.
    while content[:1] == b"\x80":
        names, end = _imports(content)
        yield from (name for name in names if not re.fullmatch(r"torch\.\w+", name))  # types and storages are harmless
        content = content[end:]


def _imports(content: bytes) -> tuple[list[str], int]:
    """The names that the first pickle of the content imports, and where that pickle ends. A damaged pickle has the
    names before the damage, and ends with the content."""
    names: list[str] = []
    texts: list[str] = []
    memo: dict[int, str] = {}
    memoised, is_text = 0, False
    try:
        for instruction, argument, place in pickletools.genops(content):
            if instruction.name == "GLOBAL":
                names.append(str(argument).replace(" ", "."))
            elif instruction.name == "STACK_GLOBAL":  # by the two texts before it, or what stands for them
                names.append(".".join(texts[-2:]))
            elif instruction.name == "MEMOIZE":
                if is_text:
                    memo[memoised] = texts[-1]
                memoised += 1
            elif instruction.name in ("BINGET", "LONG_BINGET") and argument in memo:
                texts.append(memo[argument])
            elif instruction.name == "STOP":
                return names, (place or 0) + 1
            is_text = isinstance(argument, str) and instruction.name != "GLOBAL"
            if is_text:
                texts.append(str(argument))
    except ValueError:  # damaged from here on
        pass
    return names, len(content)


def _protocol(path: Path) -> int:
    """The protocol of a pickle, or of the pickle in a zip file of torch.save."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            start = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))[:2]
    else:
        with path.open("rb") as file:
            start = file.read(2)
    return start[1] if start[:1] == b"\x80" and len(start) > 1 else 0
