"""What the page says, in each language it speaks: one file of sentences a language, chosen by the browser's list.

A `VisitorError` takes its sentence from there too: the page says it in the visitor's language, programs get English.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from foundation.cli import UserError

FOLDER = Path(__file__).parent / "words"
DEFAULT = "en"


class Words:
    """The sentences of one language: `words("pages", count=1000)` is "1,000 pages"."""

    def __init__(self, language: str):
        self.language = language
        self.sentences: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))

    def __call__(self, key: str, /, **values: object) -> str:
        """The sentence of that name with these values in it, whole numbers as the language writes them."""
        shown = {name: self.number(value) if isinstance(value, int) else value for name, value in values.items()}
        return self.sentences[key].format(**shown)

    def whole(self, key: str, /, **values: object) -> str:
        """The same from its capital to its full stop."""
        sentence = self(key, **values)
        return sentence[:1].upper() + sentence[1:] + self.sentences["full_stop"]

    def number(self, value: float) -> str:
        """Thousands parted as the language parts them."""
        return f"{value:,}".replace(",", self.sentences["thousands"])


class VisitorError(UserError):
    """What a visitor can mend: a sentence of the page's, by its name and with these values; its own text is English."""

    def __init__(self, key: str, /, **values: Any):
        super().__init__(words()(key, **values))
        self.key, self.values = key, values

    def said(self, say: Words) -> str:
        return say.whole(self.key, **self.values)


@cache
def spoken() -> tuple[str, ...]:
    """Languages that the page speaks."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


@cache
def words(language: str = DEFAULT) -> Words:
    return Words(language)


def chosen(accept_language: str | None) -> Words:
    """The first of a browser's languages (the header Accept-Language, RFC 9110) that the page speaks, else English."""
    wanted: list[tuple[float, int, str]] = []
    for entry in (accept_language or "").split(",")[:20]:
        name, *parameters = (part.strip() for part in entry.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        value = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 0.0
        wanted.append((-value, len(wanted), name.split("-")[0].lower()))
    return words(next((name for weight, _, name in sorted(wanted) if weight and name in spoken()), DEFAULT))
