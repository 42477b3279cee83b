"""Methods that compress before the first step, for finished weights: the training after it is fine-tuning alone."""

from collections.abc import Sequence

from bench.errors import InputError
from bench.plan.method_choice import ALL, MethodChoice, find_methods, split_label
from bench.plugins import discovery, options

OPTION = "compress_at"


def at_start(text: str, files: Sequence[str] = ()) -> str:
    """The method that was written, with `compress_at=0` where it has such an option and nothing else was given. Raises
    InputError."""
    if text.strip() == ALL:
        raise InputError(f"which method? {ALL} stands for several; write one, as csg")
    written = options.split(split_label(text)[1].strip())
    known = [option.name for option in discovery.find(discovery.METHODS, written.name, files).options()]
    return f"{text}:{OPTION}=0" if OPTION in known and OPTION not in written.options else text


def find_at_start(text: str, files: Sequence[str] = ()) -> MethodChoice:
    """The method for finished weights. Raises InputError."""
    (choice,) = find_methods([at_start(text, files)], files)
    return choice
