"""Text as packed sequences of equal length: tokenised once into memory-mapped Arrow, or streamed.

A packed sequence is [CLS] n-2 tokens of running text [SEP], without padding; texts follow one another as they stand,
as in Longformer's own pre-training. With `Packing` a separator stands between documents, or a sequence holds of one
document only, and may be shorter. `pack` writes one Arrow file a shard and a manifest, `PackedText` reads them. A
killed run keeps the shards that are whole; processes that need the same pack take turns at a lock, and all but the
first find it done. What is read stays small in memory: a few shards are mapped at a time, whatever the corpus.
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock
from tqdm import tqdm

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from training.corpora.normalise import UNSPACED
from training.runs.alignment import tokens_of
from training.runs.cache import cache_folder, tokenizer_digest
from training.runs.randomness import Use, random_stream
from training.runs.workers import in_workers

from .source import TextSource

MANIFEST = "pack.json"
OPEN_SHARDS = 8  # shards mapped into memory at a time; 16 MB of text are about 16 MB of tokens
SHUFFLE_BUFFER = 256  # sequences of a stream that are shuffled together
LONGEST_PIECE = 100_000  # characters that the tokenizer gets at once from a text without line ends
NOTHING = -1  # fills up a shorter sequence


@dataclass(frozen=True)
class Packing:
    """What becomes of documents, and what is kept of each token beside its id.

    Attributes:
        line_by_line: each line, or row, is a document, and no sequence holds more than one.
        document_separator: a token of the vocabulary that stands between documents.
        count_bytes: keep n_bytes, the bytes of text behind each token.
        whole_words: keep word_starts, 1 where a token begins a word.
    """

    line_by_line: bool = False
    document_separator: str | None = None
    count_bytes: bool = False
    whole_words: bool = False

    @property
    def columns(self) -> list[str]:
        extra = (("n_bytes", self.count_bytes), ("word_starts", self.whole_words))
        return ["input_ids", *(name for name, wanted in extra if wanted)]


RUNNING_TEXT = Packing()


class Packer:
    """Cuts running text into sequences of `length` token ids, with what `packing` wants to know of each token.

    Args:
        rows: each entry of the text is a document; else blank lines part documents.

    Raises UserError for a tokenizer without [CLS]/[SEP], or a separator that it does not know.
    """

    def __init__(self, tokenizer: Any, length: int, packing: Packing = RUNNING_TEXT, rows: bool = False):
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path!r} has no [CLS] and [SEP]: it is no encoder's")
        self.tokenizer, self.length, self.packing, self.rows = tokenizer, length, packing, rows
        separator = packing.document_separator
        if separator is not None and separator not in tokenizer.get_vocab():
            raise UserError(
                f"--document_separator {separator!r} is no token of {tokenizer.name_or_path!r}: give one that it "
                f"knows, such as {tokenizer.sep_token!r}"
            )
        between = [] if separator is None else [tokenizer.convert_tokens_to_ids(separator), 0, 0]
        self.between = np.array(between, np.int32)[: len(packing.columns), None]

    def sequences(self, batches: Iterable[list[str]]) -> Iterator[dict[str, np.ndarray]]:
        """Blocks of sequences, by column: int32 [rows, length], -1 where a document ended before.

        The bytes of a token reach from the end of the token before it to its own end, so that they add up to the
        text. Of running text, what is left at the end (fewer than length - 2 tokens) is dropped.
        """
        if self.packing.line_by_line:
            yield from self._apart(batches)
            return
        left = np.zeros((len(self.packing.columns), 0), np.int32)
        pending, inside = 0, False
        for entries in batches:
            for text, document_ends in self._texts(entries):
                if document_ends:
                    left, inside = (np.concatenate([left, self.between], axis=1), False) if inside else (left, False)
                    continue
                block, pending = self._encode(text, pending)
                left, inside = np.concatenate([left, block], axis=1), inside or block.shape[1] > 0
            rows = left.shape[1] // (self.length - 2)
            if rows:
                body, left = np.split(left, [rows * (self.length - 2)], axis=1)
                yield self._frame(body.reshape(len(body), rows, -1))

    def _texts(self, entries: list[str]) -> Iterator[tuple[list[str], bool]]:
        """Runs of entries to tokenise together, and (nothing, True) where a document ends."""
        if not self.between.size:
            yield entries, False
            return
        run: list[str] = []
        for entry in entries:
            run.append(entry)
            if self.rows or not entry.strip():
                yield run, False
                yield [], True
                run = []
        if run:
            yield run, False

    def _apart(self, batches: Iterable[list[str]]) -> Iterator[dict[str, np.ndarray]]:
        body = self.length - 2
        for entries in batches:
            rows = []
            for entry in entries:
                block, _ = self._encode([entry.removesuffix("\n")] if entry.strip() else [], 0)
                for start in range(0, block.shape[1], body):
                    rows.append(np.full((len(block), 1, body), NOTHING, np.int32))
                    part = block[:, start : start + body]
                    rows[-1][:, 0, : part.shape[1]] = part
            if rows:
                yield self._frame(np.concatenate(rows, axis=1))

    def _frame(self, body: np.ndarray) -> dict[str, np.ndarray]:
        """`body` [columns, rows, length - 2] between [CLS] and [SEP], which count no bytes and begin no word."""
        framed = np.full((*body.shape[:2], self.length), NOTHING, np.int32)
        framed[:, :, 1:-1] = body
        ends = 1 + (body[0] != NOTHING).sum(axis=1)
        rows = np.arange(body.shape[1])
        framed[:, :, 0] = framed[:, rows, ends] = 0
        framed[0, :, 0], framed[0, rows, ends] = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return dict(zip(self.packing.columns, framed, strict=True))

    def _encode(self, entries: list[str], pending: int) -> tuple[np.ndarray, int]:
        """[columns, tokens] of some lines; `pending` bytes belong to no token yet."""
        pieces = [
            entry[start : start + LONGEST_PIECE] for entry in entries for start in range(0, len(entry), LONGEST_PIECE)
        ]
        if not pieces:
            return np.zeros((len(self.packing.columns), 0), np.int32), pending
        if len(self.packing.columns) == 1:
            encoded = self.tokenizer(
                pieces,
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            return np.fromiter(chain.from_iterable(encoded["input_ids"]), np.int32)[None], 0
        ids, offsets = zip(*tokens_of(self.tokenizer, pieces), strict=True)
        found = [np.fromiter(chain.from_iterable(ids), np.int32)]
        if self.packing.count_bytes:
            counts = [np.zeros(0, np.int64)]
            for piece, of_piece in zip(pieces, offsets, strict=True):
                of_tokens, pending = _token_bytes(piece, of_piece, pending)
                counts.append(of_tokens)
            found.append(np.concatenate(counts))
        if self.packing.whole_words:
            starts = [word_starts(*pair) for pair in zip(pieces, offsets, strict=True)]
            found.append(np.concatenate([np.zeros(0, bool), *starts]))
        return np.stack([column.astype(np.int32) for column in found]), pending


def _token_bytes(text: str, offsets: list[tuple[int, int]], pending: int) -> tuple[np.ndarray, int]:
    """The bytes of each token, `pending` ones before the first; and those after the last."""
    widths = _character_bytes(text)
    if not offsets:
        return np.zeros(0, np.int64), pending + int(widths[-1])
    ends = np.maximum.accumulate(widths[[end for _, end in offsets]])
    of_tokens = np.diff(ends, prepend=0)
    of_tokens[0] += pending
    return of_tokens, int(widths[-1] - ends[-1])


def word_starts(text: str, offsets: list[tuple[int, int]]) -> np.ndarray:
    """bool [tokens]: whether white space stands between a token and the one before it, or its script has none."""
    starts = np.zeros(len(offsets), bool)
    before = 0
    for number, (start, end) in enumerate(offsets):
        first = start + len(text[start:end]) - len(text[start:end].lstrip())  # a token may hold the space before it
        gap = text[min(before, first) : first]
        starts[number] = number == 0 or gap.strip() != gap or UNSPACED.match(text, first) is not None
        before = max(before, end)
    return starts


def _character_bytes(text: str) -> np.ndarray:
    """UTF-8 bytes before each character of `text`, and after the last: int64 [len(text) + 1]."""
    if text.isascii():
        return np.arange(len(text) + 1)
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([[0], np.cumsum(widths)])


class PackedText(torch.utils.data.Dataset):
    """Packed sequences on disk. `packed[i]` -> {"input_ids": int32 [length]} (and n_bytes), or, from a training
    sampler, `packed[epoch, i]` with the epoch added: masks depend on it."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        manifest = read_json(self.folder / MANIFEST, "the pack", dict)
        self.rows: list[int] = manifest["rows"]
        self.length: int = manifest["made_with"]["length"]
        self._ends = np.cumsum(self.rows)

    def __len__(self) -> int:
        return sum(self.rows)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        epoch, index = index if isinstance(index, tuple) else (0, index)
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        row = index - int(self._ends[shard]) + self.rows[shard]
        table = _open_shard(str(_shard_path(self.folder, shard)))
        columns = {name: table.column(name)[row].values.to_numpy() for name in table.column_names}
        return {**_written(columns), "epoch": epoch}


def _written(row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A sequence without the places after its end."""
    size = int((row["input_ids"] != NOTHING).sum())
    return {name: values[:size] for name, values in row.items()}


@functools.lru_cache(OPEN_SHARDS)
def _open_shard(path: str) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


class StreamedText(torch.utils.data.IterableDataset):
    """Sequences packed while they are read, for a corpus larger than the disk; it starts over for ever.

    Order: shards shuffled anew in every pass, then a buffer of 256 sequences, both from `seed`. A resumed run reads
    the stream again up to its place, so it goes on with exactly the sequences that an uninterrupted one would see.
    """

    def __init__(self, source: TextSource, tokenizer: Any, length: int, seed: int, packing: Packing = RUNNING_TEXT):
        self.source, self.packer, self.seed = source, Packer(tokenizer, length, packing, source.rows), seed

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = torch.utils.data.get_worker_info()
        first, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = 0
        while True:
            shards = random_stream(self.seed, Use.SHARDS, epoch).permutation(self.source.shards)[first::workers]
            rng = random_stream(self.seed, Use.BUFFER, epoch, first)
            texts = chain.from_iterable(self.source.read(int(shard)) for shard in shards)
            seen = 0
            for row in _shuffled(self.packer.sequences(texts), rng):
                seen += 1
                yield {**_written(row), "epoch": epoch}
            if not seen and len(shards):
                raise UserError(f"{self.source.name} holds fewer tokens than one sequence of {self.packer.length}")
            if not seen:
                return
            epoch += 1


def _shuffled(blocks: Iterable[dict[str, np.ndarray]], rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
    buffer: list[dict[str, np.ndarray]] = []
    for block in blocks:
        for number in range(len(block["input_ids"])):
            row = {name: values[number] for name, values in block.items()}
            if len(buffer) < SHUFFLE_BUFFER:
                buffer.append(row)
                continue
            place = int(rng.integers(len(buffer)))
            yield buffer[place]
            buffer[place] = row
    for place in rng.permutation(len(buffer)):
        yield buffer[place]


def pack(
    source: TextSource,
    tokenizer: Any,
    length: int,
    folder: str | Path | None = None,
    *,
    num_proc: int = 1,
    packing: Packing = RUNNING_TEXT,
) -> PackedText:
    """Tokenise and pack `source` once, into `folder` or a folder of the cache that its content names.

    Raises UserError when `folder` holds a pack of another text, tokenizer or length, or the text is too short.
    """
    made_with = {
        "length": length,
        "tokenizer": tokenizer_digest(tokenizer),
        "text": source.digest(),
        "count_bytes": packing.count_bytes,
        "shards": source.shards,
    }
    made_with |= {name: value for name, value in asdict(packing).items() if value}  # older packs have no such entries
    packer = Packer(tokenizer, length, packing, source.rows)
    if folder is None:
        folder = cache_folder("packed_text", made_with)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # One process at a time, also of several machines on a shared disk. If it is killed, the lock is free again.
    with FileLock(folder / "lock"):
        manifest = _check_made_with(folder, made_with)
        if "rows" not in manifest:
            write_atomically(folder / MANIFEST, json.dumps(manifest))
            _write_missing_shards(source, packer, folder, num_proc)
            manifest["rows"] = [_open_shard(str(_shard_path(folder, n))).num_rows for n in range(source.shards)]
            write_atomically(folder / MANIFEST, json.dumps(manifest))
    if sum(manifest["rows"]) == 0:
        raise UserError(
            f"{source.name} holds fewer tokens than one sequence of {length}: give more text, or a smaller --max_pos"
        )
    return PackedText(folder)


def _write_missing_shards(source: TextSource, packer: Packer, folder: Path, num_proc: int) -> None:
    missing = [shard for shard in range(source.shards) if not _shard_path(folder, shard).exists()]
    written = in_workers(_write_shard, (source, packer, folder), missing, min(num_proc, max(1, len(missing))))
    for _ in tqdm(written, total=len(missing), desc=f"packing to {packer.length}", unit="shard"):
        pass


def _write_shard(tools: tuple[TextSource, Packer, Path], shard: int) -> None:
    source, packer, folder = tools
    path = _shard_path(folder, shard)
    names = packer.packing.columns
    schema = pa.schema([(name, pa.list_(pa.int32(), packer.length)) for name in names])
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for block in packer.sequences(source.read(shard)):
                columns = [pa.FixedSizeListArray.from_arrays(block[name].ravel(), packer.length) for name in names]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.arrow"


def _check_made_with(folder: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        return {"made_with": made_with}
    manifest = read_json(path, "the pack", dict)
    made = manifest["made_with"]
    others = [name for name in {**made_with, **made} if made.get(name) != made_with.get(name)]
    if others:
        raise UserError(
            f"the pack in {str(folder)!r} was made with another {' and another '.join(others)}: give another folder, "
            "or delete this one"
        )
    return manifest
