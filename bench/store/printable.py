"""Makes text from records, files, plugins and folder names safe to print on a terminal."""

import unicodedata

# Control characters (C0, C1), format characters (bidirectional marks, zero widths, tags), halves of surrogate pairs,
# and separators of lines and paragraphs. A terminal obeys or hides them, so they could disguise a text.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text with an escape (`\\x1b`, `\\u202e`) in place of every character that a terminal obeys or hides. Line
    ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(letter) if _is_unseen(letter) else letter for letter in text)


def one_line(text: str, longest: int = 4000) -> str:
    """The text like `printable`, on one line: line ends and tabs are escaped too, and text longer than `longest` is
    cut."""
    text = printable(text).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text):,} letters)"


def _is_unseen(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) in _UNSEEN


def _written_out(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
