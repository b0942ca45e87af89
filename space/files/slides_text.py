"""The text of a presentation, slide by slide, each a page; speakers' notes follow their slide. Names: ECMA-376."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .found import Found, tidy, unreadable
from .package import Package, main_part
from .tables import lines

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"


def read(path: Path) -> Found:
    package = Package(path)
    part = main_part(package)
    if part is None or part not in package.names:
        raise unreadable(path, "file_damaged")
    slides = package.related(part)
    found = Found()
    texts = []
    for entry in package.xml(part).iter(_P + "sldId"):
        name = slides.get(entry.get(_R + "id", ""), ("", ""))[1]
        if name not in package.names:
            continue
        root = package.xml(name)
        found.unread["pictures"] += sum(1 for _ in root.iter(_P + "pic"))
        found.unread["charts"] += sum(1 for _ in root.iter(_CHART))
        pieces = list(blocks(root))
        for kind, other in package.related(name).values():
            if kind == "notesSlide" and other in package.names:
                pieces += [text for text in blocks(package.xml(other)) if not text.strip().isdigit()]
        texts.append(tidy("\n\n".join(pieces)))
        if sum(map(len, texts)) > 1_000_000:
            break
    found.pages = len(texts)
    found.pieces.append("\f".join(text + ("\n\n" if text else "") for text in texts).rstrip("\n"))
    return found


def blocks(root: Any) -> Iterator[str]:
    """The text of each shape, its paragraphs in lines, and of each table."""
    for node in root.iter(_P + "txBody", _A + "tbl"):
        if node.tag == _A + "tbl":
            yield "\n".join(lines([[" ".join(_paragraphs(cell)) for cell in row] for row in node.iter(_A + "tr")]))
        else:
            yield "\n".join(_paragraphs(node))


def _paragraphs(node: Any) -> Iterator[str]:
    for paragraph in node.iter(_A + "p"):
        text = "".join(
            "\n" if part.tag == _A + "br" else part.text or "" for part in paragraph.iter(_A + "t", _A + "br")
        )
        if text.strip():
            yield text
