"""The text of a web page: paragraphs, lists, and tables row by row with their headings; no scripts, nothing fetched."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .found import Found
from .plain_text import decode
from .tables import lines

_SKIPPED = {"script", "style", "noscript", "template", "svg", "math", "select", "textarea", "button", "head", "iframe",
            "object", "audio", "video", "canvas"}  # fmt: skip
_BLOCKS = {"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div",
           "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
           "header", "hr", "html", "legend", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table",
           "ul"}  # fmt: skip
# Marks the end of a paragraph while the text is put together. No page holds it, since HTML does not allow it.
_BREAK = "\0"


def read(path: Path) -> Found:
    found = Found()
    text = decode(path, found)
    add(text, found)
    return found


def add(text: str, found: Found) -> None:
    """Put the paragraphs of one page into what is found."""
    from lxml import html

    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # it names an encoding, and lxml refuses that in decoded text
    if not text.strip():
        return
    root = html.document_fromstring(text, parser=parser)
    title = root.findtext("head/title")
    heading = next((" ".join(h.text_content().split()) for h in root.iter("h1")), "")
    if title and " ".join(title.split()) not in (heading, ""):
        found.pieces.append(" ".join(title.split()))
    found.unread["pictures"] += sum(1 for _ in root.iter("img", "svg"))
    found.pieces += [piece for piece in paragraphs(root) if piece.strip()]


def paragraphs(root: Any) -> Iterator[str]:
    """Blocks in the order of the page, white space as a browser shows it."""
    for block in "".join(_words(root, False)).split(_BREAK):
        yield "\n".join(re.sub(r" +", " ", line).strip() for line in block.split("\n")).strip("\n")


def _words(node: Any, kept: bool) -> Iterator[str]:
    """The text under a node; `kept` where line ends count, as in <pre>."""
    name = node.tag if isinstance(node.tag, str) else ""
    if name not in _SKIPPED and node.get("hidden") is None and name:
        if name == "br":
            yield "\n"
        elif name == "table" and not _layout(node):
            yield _BREAK + "\n".join(lines(list(_rows(node)), _headed(node))).replace(_BREAK, " ") + _BREAK
        else:
            edge = _BREAK if name in _BLOCKS or (name in ("td", "th", "tr")) else ""
            yield edge
            yield _flow(node.text, kept or name == "pre")
            for child in node:
                yield from _words(child, kept or name == "pre")
            yield edge
    yield _flow(node.tail, kept)


def _flow(text: str | None, kept: bool) -> str:
    text = (text or "").replace(_BREAK, " ")
    return text if kept else re.sub(r"\s+", " ", text)


def _layout(table: Any) -> bool:
    """Whether a table only arranges the page: it holds others, or has one cell a row."""
    return any(True for _ in table.iterdescendants("table")) or all(len(row) < 2 for row in table.iter("tr"))


def _headed(table: Any) -> bool | None:
    first = next(table.iter("tr"), None)
    cells = [] if first is None else [cell.tag for cell in first]
    return True if cells and all(tag == "th" for tag in cells) else None


def _rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter("tr"):
        yield [" ".join(" ".join(paragraphs(cell)).split()) for cell in row if cell.tag in ("td", "th")]
