"""The text of a docx body in reading order: also what python-docx's own `text` leaves out.

That skips tracked insertions, content controls and tables inside cells, without a word; and a cell merged over several
rows comes once a row. Element names: ECMA-376 part 1, section 17 (WordprocessingML).
"""

from collections.abc import Iterator
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_WRAPPERS = {_W + name for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")}
# What is not the text as it stands: properties, what was deleted or moved away, and text boxes (each is there twice).
_SKIPPED = {_W + name for name in ("pPr", "rPr", "del", "moveFrom", "txbxContent")}
_SIGNS = {_W + "tab": "\t", _W + "br": "\n", _W + "cr": "\n", _W + "noBreakHyphen": "-"}


def blocks(parent: Any) -> Iterator[str]:
    """Paragraphs, and tables as lines of cells with tabs between, of a `w:body` or a `w:tc`."""
    for child in parent:
        if child.tag == _W + "p":
            yield "".join(_words(child))
        elif child.tag == _W + "tbl":
            yield "\n".join("\t".join(_cells(row)) for row in _rows(child))
        elif child.tag in _WRAPPERS:
            yield from blocks(child)


def _words(node: Any) -> Iterator[str]:
    for child in node:
        if child.tag == _W + "t":
            yield child.text or ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag not in _SKIPPED:
            yield from _words(child)


def _rows(table: Any) -> Iterator[Any]:
    for child in table:
        if child.tag == _W + "tr":
            yield child
        elif child.tag in _WRAPPERS:
            yield from _rows(child)


def _cells(row: Any) -> Iterator[str]:
    for child in row:
        if child.tag == _W + "tc":
            merged = child.find(f"{_W}tcPr/{_W}vMerge")
            goes_on = merged is not None and merged.get(_W + "val") != "restart"  # its text stands in a row above
            yield "" if goes_on else "\n".join(blocks(child))
        elif child.tag in _WRAPPERS:
            yield from _cells(child)
