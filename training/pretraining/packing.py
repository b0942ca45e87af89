"""Text as packed sequences of equal length: tokenised once into memory-mapped Arrow, or streamed.

A packed sequence is [CLS] n-2 tokens of running text [SEP], without padding; texts follow one another as they stand,
as in Longformer's own pre-training. `pack` writes one Arrow file a shard and a manifest, `PackedText` reads them. A
killed run keeps the shards that are whole; processes that need the same pack take turns at a lock, and all but the
first find it done. What is read stays small in memory: a few shards are mapped at a time, whatever the corpus.
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock
from tqdm import tqdm

from foundation.cli import UserError
from foundation.files import write_atomically
from training.runs.cache import cache_folder, tokenizer_digest
from training.runs.randomness import Use, random_stream
from training.runs.workers import in_workers

from .source import TextSource

MANIFEST = "pack.json"
OPEN_SHARDS = 8  # mapped at a time; a shard of 16 MB of text is about 16 MB of tokens
SHUFFLE_BUFFER = 256  # sequences of a stream


class Packer:
    """Cuts running text into sequences of `length` token ids, with the bytes of text behind each token if asked.

    Raises UserError for a tokenizer without [CLS]/[SEP], or one that cannot tell where its tokens lie.
    """

    def __init__(self, tokenizer: Any, length: int, count_bytes: bool = False):
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path!r} has no [CLS] and [SEP]: it is no encoder's")
        if count_bytes and not tokenizer.is_fast:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path!r} is a slow one, which gives no offsets")
        self.tokenizer, self.length, self.count_bytes = tokenizer, length, count_bytes

    def sequences(self, batches: Iterable[list[str]]) -> Iterator[dict[str, np.ndarray]]:
        """Blocks of whole sequences: {"input_ids": int32 [rows, length], "n_bytes": int32 [rows, length]}.

        The bytes of a token reach from the end of the token before it to its own end, so that they add up to the
        text. What is left at the end (fewer than length - 2 tokens) is dropped.
        """
        left = np.zeros((2 if self.count_bytes else 1, 0), np.int32)
        pending = 0
        for lines in batches:
            block, pending = self._encode(lines, pending)
            left = np.concatenate([left, block], axis=1)
            rows = left.shape[1] // (self.length - 2)
            if rows:
                body, left = np.split(left, [rows * (self.length - 2)], axis=1)
                yield self._frame(body.reshape(len(body), rows, -1))

    def _frame(self, body: np.ndarray) -> dict[str, np.ndarray]:
        framed = np.zeros((*body.shape[:2], self.length), np.int32)
        framed[:, :, 1:-1] = body
        framed[0, :, 0], framed[0, :, -1] = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return dict(zip(("input_ids", "n_bytes"), framed, strict=False))

    def _encode(self, lines: list[str], pending: int) -> tuple[np.ndarray, int]:
        """Token ids (and byte counts) of some lines; `pending` bytes belong to no token yet."""
        encoded = self.tokenizer(
            lines,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=self.count_bytes,
            verbose=False,
        )
        ids = np.fromiter(chain.from_iterable(encoded["input_ids"]), np.int32)
        if not self.count_bytes:
            return ids[None], 0
        counts: list[np.ndarray] = []
        for line, offsets in zip(lines, encoded["offset_mapping"], strict=True):
            widths = _character_bytes(line)
            if not offsets:
                pending += int(widths[-1])
                continue
            ends = np.maximum.accumulate(widths[[end for _, end in offsets]])
            of_tokens = np.diff(ends, prepend=0)
            of_tokens[0] += pending
            counts.append(of_tokens)
            pending = int(widths[-1] - ends[-1])
        return np.stack([ids, np.concatenate(counts) if counts else ids]).astype(np.int32), pending


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
        manifest = json.loads((self.folder / MANIFEST).read_text())
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
        return {**columns, "epoch": epoch}


@functools.lru_cache(OPEN_SHARDS)
def _open_shard(path: str) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


class StreamedText(torch.utils.data.IterableDataset):
    """Sequences packed while they are read, for a corpus larger than the disk; it starts over for ever.

    Order: shards shuffled anew in every pass, then a buffer of 256 sequences, both from `seed`. A resumed run reads
    the stream again up to its place, so it goes on with exactly the sequences that an uninterrupted one would see.
    """

    def __init__(self, source: TextSource, tokenizer: Any, length: int, seed: int):
        self.source, self.packer, self.seed = source, Packer(tokenizer, length), seed

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = torch.utils.data.get_worker_info()
        first, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = 0
        while True:
            shards = random_stream(self.seed, Use.SHARDS, epoch).permutation(self.source.shards)[first::workers]
            rng = random_stream(self.seed, Use.BUFFER, epoch, first)
            texts = chain.from_iterable(self.source.read(int(shard)) for shard in shards)
            seen = 0
            for ids in _shuffled(self.packer.sequences(texts), rng):
                seen += 1
                yield {"input_ids": ids, "epoch": epoch}
            if not seen and len(shards):
                raise UserError(f"{self.source.name} holds fewer tokens than one sequence of {self.packer.length}")
            if not seen:
                return
            epoch += 1


def _shuffled(blocks: Iterable[dict[str, np.ndarray]], rng: np.random.Generator) -> Iterator[np.ndarray]:
    buffer: list[np.ndarray] = []
    for ids in chain.from_iterable(block["input_ids"] for block in blocks):
        if len(buffer) < SHUFFLE_BUFFER:
            buffer.append(ids)
            continue
        place = int(rng.integers(len(buffer)))
        yield buffer[place]
        buffer[place] = ids
    for place in rng.permutation(len(buffer)):
        yield buffer[place]


def pack(
    source: TextSource,
    tokenizer: Any,
    length: int,
    folder: str | Path | None = None,
    *,
    num_proc: int = 1,
    count_bytes: bool = False,
) -> PackedText:
    """Tokenise and pack `source` once, into `folder` or a folder of the cache that its content names.

    Raises UserError when `folder` holds a pack of another text, tokenizer or length, or the text is too short.
    """
    made_with = {
        "length": length,
        "tokenizer": tokenizer_digest(tokenizer),
        "text": source.digest(),
        "count_bytes": count_bytes,
        "shards": source.shards,
    }
    if folder is None:
        folder = cache_folder("packed_text", made_with)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # One process at a time, on this machine or, on a shared disk, on any; a killed holder lets go.
    with FileLock(folder / "lock"):
        manifest = _check_made_with(folder, made_with)
        if "rows" not in manifest:
            write_atomically(folder / MANIFEST, json.dumps(manifest))
            _write_missing_shards(source, Packer(tokenizer, length, count_bytes), folder, num_proc)
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
    names = ["input_ids", "n_bytes"] if packer.count_bytes else ["input_ids"]
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
    manifest = json.loads(path.read_text())
    others = [name for name, value in made_with.items() if manifest["made_with"].get(name) != value]
    if others:
        raise UserError(
            f"the pack in {str(folder)!r} was made with another {' and another '.join(others)}: give another folder, "
            "or delete this one"
        )
    return manifest
