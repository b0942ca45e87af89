"""A file in, its text out, within limits, whatever the file tries.

    from space.documents import read_document
    read_document("report.pdf").text

A file from a stranger is parsed in a child process with a ceiling on memory and time, so that a decompression bomb
or a parser's defect ends the child and leaves the page alive. The child prints JSON and can be run by hand:

    python -m space.documents report.pdf
"""

import contextlib
import importlib
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.cli import USER_ERROR, command_parser, run
from space.files.found import MAX_CHARACTERS, Found, Note, clean, unreadable
from space.words import VisitorError, Words

__all__ = ["MAX_CHARACTERS", "clean", "read_document"]

logger = logging.getLogger("space")

MAX_FILE_BYTES = 20 * 2**20
MAX_SECONDS = 60
MAX_MEMORY_BYTES = 2 * 2**30

_SECRET = re.compile("TOKEN|SECRET|PASSWORD|_KEY", re.IGNORECASE)

# The module in space/files that reads each kind, and its function. It is imported only when it is needed.
READERS = {
    ".txt": "plain_text.read",
    ".md": "plain_text.read",
    ".pdf": "pdf_text.read",
    ".docx": "docx_text.read",
    ".odt": "odt_text.read",
    ".rtf": "rtf_text.read",
    ".html": "html_text.read",
    ".htm": "html_text.read",
    ".epub": "epub_text.read",
    ".pptx": "slides_text.read",
    ".xlsx": "sheet_text.read_xlsx",
    ".csv": "sheet_text.read_csv",
    ".tsv": "sheet_text.read_csv",
}
SUFFIXES = tuple(READERS)
# Kinds that are not read, and what to save them as.
_OLDER = {".doc": ".docx", ".dot": ".docx", ".xls": ".xlsx", ".ppt": ".pptx", ".pages": ".docx", ".numbers": ".xlsx",
          ".key": ".pptx", ".ods": ".xlsx", ".odp": ".pptx", ".docm": ".docx", ".xlsm": ".xlsx", ".pptm": ".pptx",
          ".mobi": ".epub", ".azw3": ".epub", ".xhtml": ".html", ".mht": ".html"}  # fmt: skip
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".svg")


@dataclass(frozen=True)
class DocumentFile:
    """The text of one file, where a form feed ends each page, and what a reader should know about how it was got."""

    text: str
    kind: str
    pages: int | None = None
    notes: tuple[Note, ...] = ()


def read_document(path: str | Path) -> DocumentFile:
    """Read a file from a stranger in a child process.

    Raises:
        VisitorError: the file is too large, of another kind, protected, damaged, without text, or takes too long.
    """
    path = Path(path)
    _check_file(path)
    # The child process parses a stranger's file, so it gets none of the page's secrets.
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    try:
        child = subprocess.run(
            [sys.executable, "-m", "space.documents", str(path)],
            capture_output=True,
            env=environment,
            timeout=MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise unreadable(path, "file_slow", seconds=MAX_SECONDS) from None
    if child.returncode == USER_ERROR and child.stdout:
        key, values = json.loads(child.stdout)
        raise VisitorError(key, **values)
    if child.returncode != 0:
        # The last line names the exception. If the fault is ours, the log shows it.
        logger.warning("a file was not read: %s", child.stderr.decode(errors="replace").strip().split("\n")[-1][:200])
        raise unreadable(path, "file_damaged")
    document = json.loads(child.stdout)
    notes = tuple((name, values) for name, values in document["notes"])
    return DocumentFile(document["text"], document["kind"], document["pages"], notes)


def parse(path: Path) -> DocumentFile:
    """Read a file in this process, without the ceilings: `read_document` is the safe way."""
    _check_file(path)
    kind = path.suffix.lower()
    file, function = READERS[kind].split(".")
    found = getattr(importlib.import_module(f"space.files.{file}"), function)(path)
    text = found.text()
    if not text.strip():
        raise unreadable(path, "file_empty")
    text, cut = _first_part(text)
    return DocumentFile(text, kind[1:], found.pages, (*found.notes, *cut, *_unread(found)))


def _first_part(text: str) -> tuple[str, tuple[Note, ...]]:
    """The first million characters of a longer text, up to the end of a paragraph, and a note of it."""
    if len(text) <= MAX_CHARACTERS:
        return text, ()
    end = text.rfind("\n\n", MAX_CHARACTERS - 10_000, MAX_CHARACTERS)
    text = text[: end if end > 0 else MAX_CHARACTERS].rstrip()
    return text, (("note_cut", {"characters": len(text)}),)


def _unread(found: Found) -> tuple[Note, ...]:
    return tuple((f"unread_{name}", {"count": count}) for name, count in found.unread.items() if count)


def told(notes: tuple[Note, ...], words: Words) -> list[str]:
    """The notes as sentences; what was not read comes in one."""
    unread = [words(name, **values) for name, values in notes if name.startswith("unread_")]
    sentences = [words(name, **values) for name, values in notes if not name.startswith("unread_")]
    return [*sentences, words("unread", what=", ".join(unread))] if unread else sentences


def _check_file(path: Path) -> None:
    kind = path.suffix.lower()
    if kind in _PICTURES:
        raise unreadable(path, "file_picture")
    if kind in _OLDER:
        raise unreadable(path, "file_older", better=_OLDER[kind])
    if kind not in READERS:
        raise unreadable(path, "file_kind", kinds=", ".join(SUFFIXES))
    if path.stat().st_size > MAX_FILE_BYTES:
        raise unreadable(path, "file_large", size=MAX_FILE_BYTES // 2**20)


def _limit_this_process() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's time limit still holds
        return
    for kind, ceiling in ((resource.RLIMIT_AS, MAX_MEMORY_BYTES), (resource.RLIMIT_CPU, MAX_SECONDS)):
        hard = resource.getrlimit(kind)[1]
        lower = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        # macOS refuses a limit on address space. The parent's time limit still holds.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (lower, lower))


def main() -> None:
    parser = command_parser(
        description="Print the text of one file as JSON, within the page's limits.",
        example="python -m space.documents report.pdf",
    )
    parser.add_argument("path", type=Path, help=f"a file: {', '.join(SUFFIXES)}")
    path = parser.parse_args().path
    _limit_this_process()
    try:
        print(json.dumps(asdict(parse(path))))
    except VisitorError as refused:  # for the page, which says it in its visitor's language
        print(json.dumps([refused.key, refused.values]))
        raise


if __name__ == "__main__":
    run(main)
