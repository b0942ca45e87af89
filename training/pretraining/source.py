"""Raw text in shards of a fixed size: a file, JSON lines, a folder of either, or a dataset on the Hub.

A source knows how many shards it has and reads any of them by itself, so that packing can be split over processes and
taken up again. Lines keep their ends, and no two shards share a byte: the shards joined are the text. A row of JSON
lines or of a dataset is one entry, whatever line ends are in it.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foundation.cli import UserError, short_repr
from foundation.files import file_hash

SHARD_BYTES = 1 << 24
SHARD_ROWS = 20_000
BATCH_LINES, BATCH_CHARACTERS = 512, 1 << 22
JSON_LINES = (".jsonl", ".ndjson")
FOLDER = (".txt", ".raw", ".text", *JSON_LINES)  # the files of a folder that are read


class TextSource(Protocol):
    """Text in `shards` pieces; `name` is how the user gave it, `digest` changes with the content; `rows` says that each
    entry is a document by itself, while of lines it is blank ones that part documents."""

    rows: bool

    @property
    def name(self) -> str: ...

    @property
    def shards(self) -> int: ...

    def read(self, shard: int) -> Iterator[list[str]]:
        """Batches of lines or rows of one shard, in order, line ends kept; none is empty."""

    def digest(self) -> str: ...


@dataclass(frozen=True)
class TextFile:
    """One UTF-8 text file, cut near multiples of `shard_bytes`, at line ends where there are any."""

    path: str
    argument: str = "--train_file_path"
    shard_bytes: int = SHARD_BYTES
    rows = False

    def __post_init__(self) -> None:
        path = Path(self.path)
        if not path.is_file():
            raise UserError(
                f"{self.name} is not a file: give the path of a raw text file, such as wiki.train.raw, of JSON "
                "lines, or of a folder of either"
            )
        if path.stat().st_size == 0:
            raise UserError(f"{self.name} is empty: give a file with text in it")
        with path.open("rb") as file:
            if b"\0" in file.read(1 << 16):
                raise UserError(f"{self.name} is not text (it holds zero bytes): give raw UTF-8 text, unpacked")

    @property
    def name(self) -> str:
        return f"{self.argument} {self.path!r}"

    @property
    def shards(self) -> int:
        return max(1, round(os.path.getsize(self.path) / self.shard_bytes))

    def read(self, shard: int) -> Iterator[list[str]]:
        with open(self.path, "rb") as file:
            start, end = self._cut(file, shard), self._cut(file, shard + 1)
            file.seek(start)
            content = file.read(end - start)
        try:
            text = content.decode("utf-8-sig" if shard == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.name} is not UTF-8 at byte {start + error.start}: convert it, for example with "
                "`iconv -f latin1 -t utf-8`"
            ) from error
        if "\0" in text:
            raise UserError(f"{self.name} is not text (it holds zero bytes): give raw UTF-8 text, unpacked")
        yield from _batches(text.splitlines(keepends=True))

    def _cut(self, file: Any, shard: int) -> int:
        """Where shard `shard` starts: after the first line end past its nominal place, else between two characters."""
        size = os.path.getsize(self.path)
        if shard == 0 or shard >= self.shards:
            return size if shard else 0
        position = shard * self.shard_bytes
        file.seek(position)
        ahead = file.read(min(1 << 16, self.shard_bytes))
        line_end = ahead.find(b"\n")
        if line_end >= 0:
            return position + line_end + 1
        return self._cut_in_line(file, position, ahead)

    def _cut_in_line(self, file: Any, position: int, ahead: bytes) -> int:
        return position + next((i for i, byte in enumerate(ahead[:4]) if byte & 0xC0 != 0x80), 0)

    def digest(self) -> str:
        return file_hash(self.path)


@dataclass(frozen=True)
class JsonLines(TextFile):
    """One JSON object a line, of which `column` is the text; a text that lacks a line end gets one."""

    column: str = "text"
    rows = True

    def read(self, shard: int) -> Iterator[list[str]]:
        for lines in super().read(shard):
            yield [self._text(line) for line in lines if line.strip()]

    def _text(self, line: str) -> str:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{self.name} is not JSON lines: {short_repr(line)} cannot be read ({error.msg})"
            ) from error
        if not isinstance(row, dict):
            raise UserError(f"{self.name} is not JSON lines of objects: it holds {short_repr(row)}")
        check_column(list(row), self.column, f"a line of {self.name}")
        return _line(row[self.column], short_repr(line), self)

    def _cut_in_line(self, file: Any, position: int, ahead: bytes) -> int:
        """A row is never cut, however long it is."""
        file.seek(position)
        return position + len(file.readline())

    def digest(self) -> str:
        return f"{super().digest()}-{self.column}"


class TextFolder:
    """The files of a folder, small ones together in a shard, in the order of their names; a blank line after each."""

    def __init__(self, folder: str, argument: str, column: str):
        self.name = f"{argument} {folder!r}"
        found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in FOLDER and path.is_file())
        if not found:
            raise UserError(f"{self.name} is a folder without text: it holds no file named {', '.join(FOLDER)}")
        empty = [path for path in found if path.stat().st_size == 0]
        if empty:
            print(f"note: {len(empty)} files of {self.name} are empty, {empty[0].name!r} the first", file=sys.stderr)
        self.files = [_text_file(path, argument, column) for path in found if path not in empty]
        kinds = {file.rows for file in self.files}
        if len(kinds) != 1:
            raise UserError(
                f"{self.name} holds raw text and JSON lines, or only empty files: give a folder of one kind"
            )
        self.rows = kinds.pop()
        self._shards: list[list[tuple[TextFile, int]]] = []
        room = 0
        for file in self.files:
            size = os.path.getsize(file.path)
            if size > room:
                self._shards += [[(file, number)] for number in range(file.shards)]
                room = SHARD_BYTES - size
            else:
                self._shards[-1] += [(file, number) for number in range(file.shards)]
                room -= size

    @property
    def shards(self) -> int:
        return len(self._shards)

    def read(self, shard: int) -> Iterator[list[str]]:
        for file, number in self._shards[shard]:
            yield from file.read(number)
            if not self.rows and number == file.shards - 1:
                yield ["\n"]

    def digest(self) -> str:
        return hashlib.sha256("".join(file.digest() for file in self.files).encode()).hexdigest()


def open_files(path: str, argument: str, column: str) -> TextFile | TextFolder:
    """Raw text, JSON lines (by the name's end), or a folder of either.

    Raises UserError for one that is missing, empty or binary.
    """
    folder = Path(path).expanduser()
    return TextFolder(str(folder), argument, column) if folder.is_dir() else _text_file(folder, argument, column)


def _text_file(path: Path, argument: str, column: str) -> TextFile:
    if path.suffix.lower() in JSON_LINES:
        return JsonLines(str(path), argument, SHARD_BYTES, column)
    return TextFile(str(path), argument, SHARD_BYTES)


class TextTable:
    """The text column of a map-style `datasets.Dataset`; a row that lacks a line end gets one."""

    rows = True

    def __init__(self, dataset: Any, column: str, name: str, shard_rows: int = SHARD_ROWS):
        check_column(dataset.column_names, column, name)
        if len(dataset) == 0:
            raise UserError(f"{name} has no rows: choose another split")
        self.dataset, self.column, self.name, self.shard_rows = dataset, column, name, shard_rows
        without = dataset.data.column(column).null_count
        if without:
            print(f"note: {without} rows of {name} have no text: they are read as empty lines", file=sys.stderr)

    @property
    def shards(self) -> int:
        return -(-len(self.dataset) // self.shard_rows)

    def read(self, shard: int) -> Iterator[list[str]]:
        first = shard * self.shard_rows
        texts = self.dataset[first : first + self.shard_rows][self.column]
        yield from _batches([_line(text, first + number, self) for number, text in enumerate(texts)])

    def digest(self) -> str:
        return f"{self.dataset._fingerprint}-{self.column}"


class TextRows:
    """The text column of an `IterableDataset`: one shard that is read from the Hub as it is used."""

    rows = True
    shards = 1

    def __init__(self, dataset: Any, column: str, name: str):
        if dataset.column_names is not None:
            check_column(dataset.column_names, column, name)
        self.dataset, self.column, self.name = dataset, column, name

    def read(self, shard: int) -> Iterator[list[str]]:
        batch: list[str] = []
        for number, row in enumerate(self.dataset):
            batch.append(_line(row[self.column], number, self))
            if len(batch) == BATCH_LINES:
                yield from _batches(batch)
                batch = []
        yield from _batches(batch)

    def digest(self) -> str:
        raise TypeError("a streamed dataset has no digest, since nobody has read all of it")


def check_column(columns: list[str], column: str, name: str) -> None:
    """Raise UserError, naming the columns there are, unless `column` is one of them."""
    if column not in columns:
        raise UserError(f"--text_column {column!r} is not a column of {name}: choose from {', '.join(columns)}")


def _line(text: Any, row: int | str, table: "TextTable | TextRows | JsonLines") -> str:
    """The text of a row with a line end; a row without a text is an empty line."""
    if text is None:
        return "\n"
    if not isinstance(text, str):
        raise UserError(
            f"{table.name}, row {row}: --text_column {table.column!r} holds {short_repr(text)}, which is no text: "
            "choose another column"
        )
    return text if text.endswith("\n") else text + "\n"


def _batches(lines: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == BATCH_LINES or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
