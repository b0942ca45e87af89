"""The text of a PDF, page by page: pages end in form feeds, so that an answer knows its page."""

from pathlib import Path

from foundation.cli import UserError

from .found import MAX_CHARACTERS, Found, name_of, tidy
from .layout import join_pages

MAX_PAGES = 2_000


def read(path: Path) -> Found:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in path.open("rb").read(1024):
        raise UserError(f"{name_of(path)} is not a PDF: save it again as PDF, or paste its text")
    try:
        reader = PdfReader(path)
        # The empty password opens a file that is only protected against printing and copying.
        locked = reader.is_encrypted and not reader.decrypt("")
    except DependencyError:
        locked = True
    if locked:
        raise UserError(f"{name_of(path)} is protected by a password: save a copy without one")
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        raise UserError(f"{name_of(path)} has {pages:,} pages, more than {MAX_PAGES:,}: split it into parts")
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
        raise UserError(f"{name_of(path)} holds pictures of pages and no text: run text recognition (OCR) on it first")
    if empty:
        found.notes.append(("note_empty_pages", {"empty": empty, "pages": pages}))
    found.pieces.append(join_pages(texts))
    return found
