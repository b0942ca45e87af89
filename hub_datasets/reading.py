"""A file of questions, whatever people keep it in: its bytes to a JSON document or to flat rows.

Known by its content, not by its name: JSON, JSON lines, CSV and TSV (with a header), Parquet, any of them in gzip; text
in UTF-8 or, with a byte-order mark, UTF-16. Values come as they stand: nothing guesses that an id is a time.

Published beside the loading scripts: imports its siblings, pyarrow and the standard library only.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from .concat import CorpusError

ARCHIVES = {b"PK\x03\x04": "a zip archive", b"BZh": "compressed by bzip2", b"\xfd7zXZ\0": "compressed by xz",
            b"\x28\xb5\x2f\xfd": "compressed by zstd", b"\x89HDF": "HDF5", b"ARROW1": "an Arrow file"}  # fmt: skip


class Rows(NamedTuple):
    """Flat rows. `lines` has the line of the file that each starts in, where the file has lines."""

    rows: Iterable[Mapping[str, Any]]
    lines: list[int] | None = None

    def place(self, number: int) -> str:
        """How a sentence names a row."""
        return f"row {number}" if self.lines is None else f"row {number} (line {self.lines[number]})"


def read(content: bytes, source: str) -> Any:
    """The JSON document that `unpack`ed bytes hold, or their `Rows`.

    Raises:
        CorpusError: naming `source` and the place of what is wrong.
    """
    if content.startswith(b"PAR1"):
        return _parquet(content, source)
    text = _decode(content, source)
    delimiter = None if text.lstrip()[:1] in ("", "{", "[") else _delimiter(text)
    return _json(text, source) if delimiter is None else _table(text, delimiter, source)


def unpack(content: bytes, source: str) -> bytes:
    """A file's bytes out of gzip, and in UTF-8 where a byte-order mark says that they are in UTF-16."""
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise CorpusError(f"{source} is gzip that cannot be unpacked ({error}): is the file whole?") from None
    for mark, what in ARCHIVES.items():
        if content.startswith(mark):
            raise CorpusError(f"{source} is {what}: unpack or convert it, and give the JSON, CSV or Parquet file")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decode(content, source, "utf-16").encode("utf-8")
    return content.removeprefix(b"\xef\xbb\xbf")


def _decode(content: bytes, source: str, encoding: str = "utf-8") -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{source} is not {encoding.upper()}: byte {content[error.start]:#04x} at offset {error.start} (line "
            f"{line}): save it as UTF-8"
        ) from None


def _json(text: str, source: str) -> Any:
    """One document, or one on each line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text[: error.pos]:
            return _json_lines(text, source)
        # Only the place goes into the sentence: `error.doc` is the whole file.
        raise CorpusError(
            f"{source} is not JSON: {error.msg} at line {error.lineno} column {error.colno} of "
            f"{len(text.splitlines())} line(s): is the file whole?"
        ) from None
    except RecursionError:
        raise CorpusError(f"{source} is not in SQuAD's format: its JSON is nested too deeply") from None
    except ValueError as error:  # such as a number with more digits than Python converts
        raise CorpusError(f"{source} is not in SQuAD's format: {error}") from None


def _json_lines(text: str, source: str) -> Rows:
    rows: list[Any] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would also split at U+2028 inside a text
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            what = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise CorpusError(
                f"{source}, row {len(rows)} (line {number}): not JSON: {what}{column}: is the file whole?"
            ) from None
        lines.append(number)
    return Rows(rows, lines)


def _parquet(content: bytes, source: str) -> Rows:
    try:
        return Rows(pyarrow.parquet.read_table(pa.BufferReader(content)).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).splitlines()[0][:200]
        raise CorpusError(f"{source} cannot be read as Parquet ({what}): is the file whole?") from None


def _delimiter(text: str) -> str | None:
    """What separates the columns that the first line names, None where it names but one."""
    header = text.lstrip().split("\n", 1)[0]
    count, delimiter = max((header.count(mark), mark) for mark in (",", ";", "\t"))
    return delimiter if count else None


def _table(text: str, delimiter: str, source: str) -> Rows:
    before = csv.field_size_limit(2**31 - 1)  # csv's own limit is 131,072 characters, less than a long document
    try:
        reader = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter, strict=True)
        rows: list[Any] = []
        lines: list[int] = []
        line = 2
        for row in reader:
            if None in row or None in row.values():
                raise CorpusError(
                    f"{source}, row {len(rows)} (line {line}): not as many fields as the header has "
                    f"({', '.join(reader.fieldnames or ())}): is the file whole?"
                )
            rows.append(row)
            lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(f"{source}, row {len(rows)} (line {line}): not CSV: {error}: is the file whole?") from None
    finally:
        csv.field_size_limit(before)
    return Rows(rows, lines)
