"""The predictions that a run kept, read from its folder as it was sealed."""

from pathlib import Path

from bench.errors import TooNew
from bench.store.predictions import Predictions, decode_predictions
from bench.store.store import PREDICTIONS, Damaged, Newer, Store


def read(folder: Path) -> Predictions | None:
    """None if the run was made without: by an earlier bench, or for another task. Raises Damaged."""
    content = Store.content(folder, PREDICTIONS)
    try:
        return None if content is None else decode_predictions(content)
    except TooNew as error:
        raise Newer(f"{PREDICTIONS} of {folder.name} can't be read ({error})") from error
    except ValueError as error:
        raise Damaged(f"{PREDICTIONS} of {folder.name} can't be read ({error})") from error
