"""The text of a LibreOffice document, with tables, notes, text boxes, headers and footers. Names: OpenDocument 1.3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .found import Found, unreadable
from .package import Package
from .tables import lines

_OASIS = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_OFFICE, _TEXT, _TABLE, _DRAW, _STYLE = (_OASIS % name for name in ("office", "text", "table", "drawing", "style"))
_MANIFEST = _OASIS % "manifest"

_PARAGRAPHS = {_TEXT + "p", _TEXT + "h"}
_APART = {_TEXT + "note", _OFFICE + "annotation", _DRAW + "text-box", _TEXT + "tracked-changes"}


def read(path: Path) -> Found:
    package = Package(path)
    if "content.xml" not in package.names:
        raise unreadable(path, "file_damaged")
    if "META-INF/manifest.xml" in package.names and any(
        True for _ in package.xml("META-INF/manifest.xml").iter(_MANIFEST + "encryption-data")
    ):
        raise unreadable(path, "file_locked")
    body = package.xml("content.xml").find(f"{_OFFICE}body/{_OFFICE}text")
    if body is None:
        raise unreadable(path, "file_damaged")
    found = Found()
    styles = package.xml("styles.xml") if "styles.xml" in package.names else None
    heads, feet = (
        [] if styles is None else list(dict.fromkeys("\n".join(blocks(e)).strip() for e in styles.iter(_STYLE + name)))
        for name in ("header", "footer")
    )
    found.pieces += heads
    for block in blocks(body):
        found.pieces.append(block)
        if found.full:
            break
    found.pieces += feet
    found.unread["pictures"] = sum(1 for _ in body.iter(_DRAW + "image"))
    found.unread["charts"] = sum(1 for _ in body.iter(_DRAW + "object"))
    found.unread["comments"] = sum(1 for _ in body.iter(_OFFICE + "annotation"))
    return found


def blocks(parent: Any) -> Iterator[str]:
    """Paragraphs and tables, each followed by its text boxes and notes."""
    for child in parent:
        if child.tag in _PARAGRAPHS:
            yield "".join(_words(child))
            for apart in child.iter(_DRAW + "text-box", _TEXT + "note-body"):
                yield from blocks(apart)
        elif child.tag == _TABLE + "table":
            headed = child.find(_TABLE + "table-header-rows") is not None
            yield "\n".join(lines([list(_cells(row)) for row in child.iter(_TABLE + "table-row")], headed or None))
        elif child.tag not in _APART:
            yield from blocks(child)


def _words(node: Any) -> Iterator[str]:
    yield node.text or ""
    for child in node:
        if child.tag == _TEXT + "s":
            yield " "
        elif child.tag == _TEXT + "tab":
            yield "\t"
        elif child.tag == _TEXT + "line-break":
            yield "\n"
        elif child.tag not in _APART and isinstance(child.tag, str):
            yield from _words(child)
        yield child.tail or ""


def _cells(row: Any) -> Iterator[str]:
    for cell in row:
        if cell.tag in (_TABLE + "table-cell", _TABLE + "covered-table-cell"):
            yield "\n".join(text for text in blocks(cell) if text.strip())
