"""The document as the visitor sees it: in paragraphs, with its pages, and every place marked where it stands.

Everything of a visitor's passes `html.escape`, once, and stands in an element with `dir="auto"`, so that markup is
shown as text and each paragraph runs in its own direction.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from space.words import Words

# A form feed ends a page, in the text of a PDF and in old text files.
PAGE = "\f"
_GAP = re.compile(r"\n[ \t]*\n[^\S\f]*")


@dataclass(frozen=True)
class Mark:
    """Characters [start, end) of a document under the HTML id `name`; `label` stands small behind them.

    Where two marks overlap, the earlier one of the list is seen, and each keeps its id where it begins to be seen.
    """

    start: int
    end: int
    name: str
    label: str
    kind: str


def page_of(text: str, at: int) -> int | None:
    """The page of a character, from 1 on; None where the document knows no pages."""
    return text.count(PAGE, 0, at) + 1 if PAGE in text else None


def document_html(text: str, marks: Sequence[Mark], words: Words, language: str = "") -> str:
    """The document in paragraphs, every mark in a <mark> with its name for an id."""
    paragraphs = []
    opened: set[str] = set()
    start, page = 0, 1
    for end, following in [*((gap.start(), gap.end()) for gap in _GAP.finditer(text)), (len(text), len(text))]:
        if body := "".join(_pieces(text, start, end, marks, opened, page, words)):
            paragraphs.append(f'<p dir="auto">{body}</p>')
        page += text.count(PAGE, start, following)
        start = following
    first = f'<span class="page" id="page-1">{escape(words("page", number=1))}</span>' if PAGE in text else ""
    lang = f' lang="{escape(language)}"' if language else ""
    return (
        '<div class="document" id="document-text" role="region" tabindex="0" '
        f'aria-label="{escape(words("document_region"))}"{lang}>{first}{"".join(paragraphs)}</div>'
    )


def _pieces(
    text: str, start: int, end: int, marks: Sequence[Mark], opened: set[str], page: int, words: Words
) -> Iterator[str]:
    """One paragraph, escaped; a mark that runs over its end is shown in each paragraph, with one id."""
    near = [mark for mark in marks if mark.start < end and mark.end > start]
    edges = sorted({start, end, *(min(max(edge, start), end) for mark in near for edge in (mark.start, mark.end))})
    for first, last in pairwise(edges):
        mark = next((each for each in near if each.start <= first and last <= each.end), None)
        parts = text[first:last].split(PAGE)
        for number, part in enumerate(parts):
            if number:
                page += 1
                yield f'<span class="page" id="page-{page}">{escape(words("page", number=str(page)))}</span>'
            if mark and part:
                identity = "" if mark.name in opened else f' id="{mark.name}"'
                opened.add(mark.name)
                label = f' data-rank="{escape(mark.label)}"' if last == mark.end and number == len(parts) - 1 else ""
                yield f'<mark{identity} class="{mark.kind}"{label}>{escape(part)}</mark>'
            else:
                yield escape(part)
