"""How figures look: our style with a user's style file on top, the letters that the font has, and files without a
date."""

import io
import logging
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager, style
from matplotlib.figure import Figure

from bench.errors import InputError, first_line

STYLE: dict[str, Any] = {
    "figure.dpi": 300,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
# A style file can't change these: fonts are embedded, the same picture has the same bytes, and a $ in a name is a $.
_FIXED: dict[str, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bench",
    "text.parse_math": False,
    "text.usetex": False,
}


def encode(figure: Figure, ending: str) -> bytes:
    """The bytes of a pdf, png or svg file, without a date."""
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
    with style.context([_FIXED]):
        figure.savefig(content, format=ending, metadata=undated)
    return content.getvalue()


def check_style(style_file: str | Path | None) -> None:
    """Raise InputError unless `style_file` is a style of matplotlib, or a file of valid style lines."""
    if style_file is None or str(style_file) in style.available:
        return
    complaints = _Complaints()
    log = logging.getLogger("matplotlib")
    log.addHandler(complaints)
    propagate, log.propagate = log.propagate, False
    try:
        matplotlib.rc_params_from_file(style_file, fail_on_error=True, use_default_template=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"no style can be read from {style_file}: {first_line(error)}") from error
    finally:
        log.removeHandler(complaints)
        log.propagate = propagate
    if complaints.lines:
        raise InputError(f"no style can be read from {style_file}: {complaints.lines[0]}")


class _Complaints(logging.Handler):
    """Collects the warnings with which matplotlib skips unreadable lines and unknown keys."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Leave out the advice after an unknown key.
        self.lines.append(" ".join(record.getMessage().partition("You probably")[0].split()))


def styled(style_file: str | Path | None) -> Any:
    """Use our style with this one on top, inside the block."""
    check_style(style_file)
    own = [] if style_file is None else [str(style_file)]
    return style.context([STYLE, *own, _FIXED])


def drawable(text: str, length: int) -> str:
    """The text with only the letters that the font has, cut to the room that it has."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    letters = (letter if letter.isprintable() and font.get_char_index(ord(letter)) else "?" for letter in text)
    shown = "".join(letters)
    return shown if len(shown) <= length else shown[: length - 1] + "…"
