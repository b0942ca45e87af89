"""What is found in a file: its text, what a reader should know of how it was got, and the limits on both."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from space.words import VisitorError

MAX_CHARACTERS = 1_000_000
MAX_UNPACKED_BYTES = 200 * 2**20

# Characters that a screen cannot show and that may break a tokenizer. Tab, line feed and form feed (a page's end) stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

# The name of a sentence in space/words, and the values in it.
Note = tuple[str, dict[str, Any]]


@dataclass
class Found:
    """Text in pieces with an empty line between them, and what is said about it.

    `unread` counts what the text leaves out, by a name in space/words: pictures, comments, charts.
    """

    pieces: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    pages: int | None = None
    unread: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether what follows would be beyond what is read."""
        return sum(map(len, self.pieces)) > MAX_CHARACTERS

    def text(self) -> str:
        return tidy("\n\n".join(piece for piece in self.pieces if piece.strip()))


def clean(text: str) -> str:
    """Put a space for every control character and U+FFFD for every lone surrogate: no offset moves."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text.replace("\r", " ")))


def tidy(text: str) -> str:
    """Line feeds for every kind of line end, no trailing blanks, at most one empty line in a row."""
    text = clean(re.sub(r"\r\n?|\v|\x85|\u2028", "\n", text).replace("\u2029", "\n\n"))
    lines = (line.rstrip(" \t") for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(" \t\n")


def unreadable(path: Path, key: str, **values: Any) -> VisitorError:
    """Why a file is not read: a sentence that names it, without its folder and short enough for one sentence."""
    name = clean(path.name)
    short = repr(name if len(name) <= 60 else f"{name[:40]}…{name[-15:]}")
    return VisitorError(key, name=short, kind=path.suffix[1:].lower(), **values)
