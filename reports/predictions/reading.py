"""Reads the predictions that a run kept in its folder, and checks their seal."""

from pathlib import Path

from bench.errors import TooNew
from bench.store.predictions import Predictions, decode_predictions
from bench.store.store import PREDICTIONS, Damaged, Newer, Store


def read(folder: Path) -> Predictions | None:
    """The predictions; None if the run has none, since an earlier bench made it or its task keeps none. Raises
    Damaged."""
    content = Store.content(folder, PREDICTIONS)
    try:
        return None if content is None else decode_predictions(content)
    except TooNew as error:
        raise Newer(f"{PREDICTIONS} of {folder.name} can't be read ({error})") from error
    except ValueError as error:
        raise Damaged(f"{PREDICTIONS} of {folder.name} can't be read ({error})") from error
