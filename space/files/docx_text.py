"""The text of a Word file in reading order, with all that stands on its pages.

Paragraphs, tables row by row with their headings, text boxes after the paragraph they hang on, footnotes and endnotes
after the paragraph that refers to them, headers before and footers after; tracked insertions, content controls and
tables within cells too. Not what was deleted, and not pictures, charts and comments, which are counted. Element names:
ECMA-376 part 1, section 17 (WordprocessingML).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .found import Found, unreadable
from .package import Package, main_part
from .tables import lines

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_COMPATIBLE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/picture}pic"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_IMAGE_DATA = "{urn:schemas-microsoft-com:vml}imagedata"
_OBJECT = "{urn:schemas-microsoft-com:office:office}OLEObject"

_WRAPPERS = {_W + name for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")}
# Not part of the visible text: properties, what was deleted or moved away, and the copy of a drawing for old programs.
_SKIPPED = {_W + name for name in ("pPr", "rPr", "del", "moveFrom", "instrText")} | {_COMPATIBLE + "Fallback"}
_SIGNS = {_W + "tab": "\t", _W + "br": "\n", _W + "cr": "\n", _W + "noBreakHyphen": "-"}
_UNREAD = {_PICTURE: "pictures", _IMAGE_DATA: "pictures", _CHART: "charts", _OBJECT: "objects", _W + "del": "deletions"}


def read(path: Path) -> Found:
    package = Package(path)
    part = main_part(package)
    if part is None or part not in package.names:
        raise unreadable(path, "file_damaged")
    related = package.related(part)

    def parts(kind: str) -> list[str]:
        return [name for of, name in related.values() if of == kind and name in package.names]

    notes = {}
    for kind in ("footnote", "endnote"):
        for name in parts(f"{kind}s"):
            for note in package.xml(name).iter(f"{_W}{kind}"):
                if note.get(_W + "type") in (None, "normal"):
                    notes[kind, note.get(_W + "id")] = note
    root = package.xml(part)
    body = root.find(_W + "body")
    if body is None:
        raise unreadable(path, "file_damaged")
    found = Found()
    heads, feet = (
        list(dict.fromkeys("\n".join(blocks(package.xml(name), {})).strip() for name in parts(kind)))
        for kind in ("header", "footer")
    )
    found.pieces += heads
    for block in blocks(body, notes):
        found.pieces.append(block)
        if found.full:
            break
    found.pieces += feet
    found.unread = unread(root)
    for name in parts("comments"):
        found.unread["comments"] += sum(1 for _ in package.xml(name).iter(_W + "comment"))
    return found


def unread(root: Any) -> Counter[str]:
    """What is seen on the page and is not text, by kind."""
    counts: Counter[str] = Counter()
    for node in root.iter(*_UNREAD):
        if not any(parent.tag == _COMPATIBLE + "Fallback" for parent in node.iterancestors()):
            counts[_UNREAD[node.tag]] += 1
    return counts


def blocks(parent: Any, notes: dict[tuple[str, str], Any]) -> Iterator[str]:
    """Paragraphs and tables of a body, a cell, a header or a note, each followed by its text boxes and its notes."""
    for child in parent:
        if child.tag == _W + "p":
            yield "".join(_words(child))
            yield from _hanging(child, notes)
        elif child.tag == _W + "tbl":
            rows = [list(_cells(row)) for row in _rows(child)]
            first = next(iter(_rows(child)), None)
            marked = first is not None and first.find(f"{_W}trPr/{_W}tblHeader") is not None
            yield "\n".join(lines(rows, True if marked and len(rows) > 1 else None))
            yield from _hanging(child, notes)
        elif child.tag in _WRAPPERS:
            yield from blocks(child, notes)


def _hanging(node: Any, notes: dict[tuple[str, str], Any]) -> Iterator[str]:
    """Text boxes of a paragraph or table, and the notes that it refers to."""
    for box in node.iter(_W + "txbxContent"):
        above = [parent.tag for parent in box.iterancestors()]
        if _COMPATIBLE + "Fallback" not in above and above.count(_W + "txbxContent") == 0:
            yield from blocks(box, notes)
    for kind in ("footnote", "endnote"):
        for reference in node.iter(f"{_W}{kind}Reference"):
            note = notes.pop((kind, reference.get(_W + "id")), None)
            if note is not None:
                yield "\n".join(block for block in blocks(note, {}) if block.strip()).strip()


def _words(node: Any) -> Iterator[str]:
    for child in node:
        if child.tag in (_W + "t", _MATH + "t"):
            yield child.text or ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag not in _SKIPPED and child.tag != _W + "txbxContent":
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
            continues_above = merged is not None and merged.get(_W + "val") != "restart"
            yield "" if continues_above else "\n".join(text for text in blocks(child, {}) if text.strip())
        elif child.tag in _WRAPPERS:
            yield from _cells(child)
