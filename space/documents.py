"""A file in, its text out: txt, md, pdf and docx, within limits, whatever the file tries.

    from space.documents import read_document
    read_document("report.pdf").text

A file from a stranger is parsed in a child process with a ceiling on memory and time, so that a decompression bomb
or a parser's defect ends the child and leaves the page alive. The child prints JSON and can be run by hand:

    python -m space.documents report.pdf
"""

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.cli import USER_ERROR, UserError, command_parser, run

logger = logging.getLogger("space")

MAX_CHARACTERS = 1_000_000
MAX_FILE_BYTES = 20 * 2**20
MAX_PAGES = 2_000
MAX_UNPACKED_BYTES = 200 * 2**20
MAX_SECONDS = 60
MAX_MEMORY_BYTES = 2 * 2**30

# Everything a screen cannot show and a tokenizer may choke on; tab and line feed stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECRET = re.compile("TOKEN|SECRET|PASSWORD|_KEY", re.IGNORECASE)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class DocumentFile:
    """The text of one file, and what a reader should know about how it was got (`notes`: whole sentences)."""

    text: str
    kind: str
    pages: int | None = None
    notes: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Put a space for every control character and U+FFFD for every lone surrogate: no offset moves."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def read_document(path: str | Path) -> DocumentFile:
    """Read a file from a stranger in a child process.

    Raises:
        UserError: the file is too large, of another kind, protected, damaged, without text, or takes too long.
    """
    path = Path(path)
    _check_file(path)
    # No secret of the page's reaches the process that parses what a stranger made.
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
        raise UserError(f"{_name(path)} takes longer than {MAX_SECONDS} s to read: paste its text instead") from None
    if child.returncode == USER_ERROR:
        raise UserError(child.stderr.decode(errors="replace").strip().removeprefix("error: "))
    if child.returncode != 0:
        # The last line names the exception; should the fault be ours, this is where it shows.
        logger.warning("a file was not read: %s", child.stderr.decode(errors="replace").strip().split("\n")[-1][:200])
        kind = path.suffix.lstrip(".").lower()
        raise UserError(f"{_name(path)} is damaged or not a real {kind} file: save it again, or paste its text")
    document = json.loads(child.stdout)
    return DocumentFile(document["text"], document["kind"], document["pages"], tuple(document["notes"]))


def parse(path: Path) -> DocumentFile:
    """Read a file in this process, without the ceilings: `read_document` is the safe way."""
    _check_file(path)
    document = _READERS[path.suffix.lower()](path)
    if len(document.text) > MAX_CHARACTERS:
        raise UserError(
            f"{_name(path)} holds {len(document.text):,} characters, more than {MAX_CHARACTERS:,}: split it into parts"
        )
    if not document.text.strip():
        raise UserError(f"{_name(path)} holds no text")
    return document


def _check_file(path: Path) -> None:
    if path.suffix.lower() not in _READERS:
        raise UserError(f"{_name(path)} is none of {', '.join(_READERS)}: save it as one of these, or paste its text")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(f"{_name(path)} has {size:,} bytes, more than {MAX_FILE_BYTES:,}: split it, or paste its text")


def _name(path: Path) -> str:
    """The file's own name, without its folder, short enough for one sentence."""
    name = clean(path.name)
    return repr(name if len(name) <= 60 else f"{name[:40]}…{name[-15:]}")


def _read_text(path: Path) -> DocumentFile:
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{_name(path)} is not UTF-8 text: save it with the encoding UTF-8") from None
    if "\0" in text:
        raise UserError(f"{_name(path)} is not text: save it as text, pdf or docx")
    return DocumentFile(_tidy(text), "text")


def _read_pdf(path: Path) -> DocumentFile:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in path.open("rb").read(1024):
        raise UserError(f"{_name(path)} is not a PDF: save it again as PDF, or paste its text")
    try:
        reader = PdfReader(path)
        # An empty password opens what is only protected against printing and copying out.
        locked = reader.is_encrypted and not reader.decrypt("")
    except DependencyError:
        locked = True
    if locked:
        raise UserError(f"{_name(path)} is protected by a password: save a copy without one")
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        raise UserError(f"{_name(path)} has {pages:,} pages, more than {MAX_PAGES:,}: split it into parts")
    texts: list[str] = []
    length = 0
    for page in reader.pages:
        texts.append(_tidy(page.extract_text()))
        length += len(texts[-1])
        if length > MAX_CHARACTERS:
            raise UserError(
                f"{_name(path)} holds more than {MAX_CHARACTERS:,} characters (on page {len(texts):,} of {pages:,}): "
                "split it into parts"
            )
    empty = sum(not text for text in texts)
    if empty == pages:
        raise UserError(f"{_name(path)} holds pictures of pages and no text: run text recognition (OCR) on it first")
    notes = (f"{empty} of {pages} pages hold no text, perhaps pictures.",) if empty else ()
    return DocumentFile("\n\n".join(text for text in texts if text), "pdf", pages, notes)


def _read_docx(path: Path) -> DocumentFile:
    import docx

    from space.docx_text import blocks

    if path.open("rb").read(4) == b"\xd0\xcf\x11\xe0":  # an OLE container: encrypted, or Word 97 with a new name
        raise UserError(f"{_name(path)} is protected by a password or in Word's old format: save it again as docx")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{_name(path)} is not a docx file: save it again as docx, or paste its text")
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise UserError(f"{_name(path)} unpacks to {unpacked / 2**20:,.0f} MB: paste its text instead")

    body = docx.Document(str(path)).element.body
    return DocumentFile(_tidy("\n\n".join(block for block in blocks(body) if block.strip())), "docx")


_READERS: dict[str, Callable[[Path], DocumentFile]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".pdf": _read_pdf,
    ".docx": _read_docx,
}
SUFFIXES = tuple(_READERS)


def _tidy(text: str) -> str:
    """Line feeds for every kind of line end, no trailing blanks, at most one empty line in a row."""
    text = clean(re.sub(r"\r\n?|\f|\v|\x85|\u2028", "\n", text).replace("\u2029", "\n\n"))
    lines = (line.rstrip(" \t") for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _limit_this_process() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such ceilings; the parent's time limit still holds
        return
    for kind, ceiling in ((resource.RLIMIT_AS, MAX_MEMORY_BYTES), (resource.RLIMIT_CPU, MAX_SECONDS)):
        hard = resource.getrlimit(kind)[1]
        lower = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        # macOS refuses a ceiling on address space; the parent's time limit still holds.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (lower, lower))


def main() -> None:
    parser = command_parser(
        description="Print the text of one file as JSON, within the page's limits.",
        example="python -m space.documents report.pdf",
    )
    parser.add_argument("path", type=Path, help="a txt, md, pdf or docx file")
    path = parser.parse_args().path
    _limit_this_process()
    sys.stdout.buffer.write(json.dumps(asdict(parse(path))).encode())


if __name__ == "__main__":
    run(main)
