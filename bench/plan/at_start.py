"""Methods for finished weights. They compress before the first step, so that all training after it is fine-tuning."""

from collections.abc import Sequence

from bench.errors import InputError
from bench.plan.method_choice import ALL, MethodChoice, find_methods, split_label
from bench.plugins import discovery, options

OPTION = "compress_at"


def at_start(text: str, files: Sequence[str] = ()) -> str:
    """The text of the method with `compress_at=0` added. A method without this option, or a text that gives it, stays
    as it is. Raises InputError."""
    if text.strip() == ALL:
        raise InputError(f"which method? {ALL} stands for several; write one, as csg")
    written = options.split(split_label(text)[1].strip())
    known = [option.name for option in discovery.find(discovery.METHODS, written.name, files).options()]
    return f"{text}:{OPTION}=0" if OPTION in known and OPTION not in written.options else text


def find_at_start(text: str, files: Sequence[str] = ()) -> MethodChoice:
    """The method that the text names, compressing before the first step. Raises InputError."""
    (choice,) = find_methods([at_start(text, files)], files)
    return choice
