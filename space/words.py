"""What the page says, in each language it speaks: one file of sentences a language, chosen by the browser's list."""

import json
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "words"
DEFAULT = "en"


class Words:
    """The sentences of one language: `words("page", number=3)` is "page 3"."""

    def __init__(self, language: str):
        self.language = language
        self.sentences: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))

    def __call__(self, key: str, /, **values: object) -> str:
        return self.sentences[key].format(**values)

    def number(self, value: float) -> str:
        """Thousands parted as the language parts them."""
        return f"{value:,}".replace(",", self.sentences["thousands"])


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
