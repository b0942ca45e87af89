"""The text of a PDF, page by page: pages end in form feeds, so that an answer knows its page."""

from pathlib import Path

from .found import MAX_CHARACTERS, Found, tidy, unreadable
from .layout import join_pages

MAX_PAGES = 2_000


def read(path: Path) -> Found:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in path.open("rb").read(1024):
        raise unreadable(path, "file_damaged")
    try:
        reader = PdfReader(path)
        # The empty password opens a file that is only protected against printing and copying.
        locked = reader.is_encrypted and not reader.decrypt("")
    except DependencyError:
        locked = True
    if locked:
        raise unreadable(path, "file_locked")
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        raise unreadable(path, "file_pages", count=pages, most=MAX_PAGES)
    found = Found(pages=pages)
    texts: list[str] = []
    length = 0
    for page in reader.pages:
        texts.append(tidy(page.extract_text().replace("\f", "\n")))
        length += len(texts[-1])
        if length > MAX_CHARACTERS:
            break
    empty = sum(not text for text in texts)
    if empty == len(texts):
        raise unreadable(path, "file_scan")
    if empty:
        found.notes.append(("note_empty_pages", {"empty": empty, "pages": pages}))
    found.pieces.append(join_pages(texts))
    return found
