"""The training windows of a run: made once, by the first process, kept on disk by content, read from there by all."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from filelock import FileLock
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import TrainingArguments

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from training.qa import windows as qa_windows
from training.qa.windows import Windower
from training.runs import randomness
from training.runs.cache import cache_folder, code_digest, tokenizer_digest
from training.runs.randomness import Use, random_stream
from training.runs.workers import in_workers

from . import across, features, mixture
from .across import Questions, ask_across
from .arguments import FinetuneArguments
from .features import NO_ANSWER, train_features
from .mixture import Mixture, mix_lengths

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)
CHUNK = 256  # examples that a worker takes at a time
WINDOWS, SUMMARY = "windows.arrow", "windows.json"  # the summary is written last, so with it the windows are whole
INTEGERS = pa.list_(pa.int32())
SCHEMA = pa.schema(
    {
        "input_ids": INTEGERS,
        "length": pa.int32(),
        "prefix_length": pa.int32(),
        "document_length": pa.int32(),
        "starts": INTEGERS,
        "ends": INTEGERS,
        "paragraph": INTEGERS,
    }
)


class TrainingWindows(Dataset):
    """`windows[epoch, number]` is one of `train_features`, with `place`, drawn for this epoch: a number in [0, 1) for
    `TrainCollator`'s position offset. `windows["length"]` is a column."""

    def __init__(self, stored: "datasets.Dataset", seed: int):
        self.stored, self.seed = stored, seed

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key: tuple[int, int] | str) -> Any:
        if isinstance(key, str):
            return self.stored[key]
        epoch, number = key
        place = random_stream(self.seed, Use.POSITION, epoch, number).random()
        return {**self.stored[number], "place": float(place)}


def make_windows(
    arguments: FinetuneArguments,
    training_args: TrainingArguments,
    windower: Windower,
    rows: "datasets.Dataset",
    at_hand: "datasets.Dataset | None" = None,
) -> TrainingWindows:
    """The training windows of `rows`, documents lengthened and questions asked across languages as the flags say, from
    what is `at_hand` (by default the rows themselves).

    Processes that need the same windows take turns at a lock, and all but the first find them made.
    """
    import datasets

    lengths = Mixture(
        arguments.long_fraction,
        arguments.max_paragraphs,
        arguments.same_article,
        arguments.unanswerable_fraction,
        training_args.seed,
        arguments.documents_per_question,
    )
    if not any(answers["text"] for answers in rows["answers"]):
        named = " ".join(arguments.data_files or arguments.dataset)
        raise UserError(f"--dataset {named!r} has no answer in its training rows: it cannot be trained on")
    drawn: Iterator[Mapping[str, Any]] = _in_batches(rows)
    around: list[Mapping[str, Any]] = []
    if lengths.changes_something() or arguments.cross_language:
        around = list(_in_batches(rows if at_hand is None else at_hand))
    made_of = {
        "rows": _rows_digest(_in_batches(rows)),
        "at_hand": _rows_digest(around),
        "cross_language": arguments.cross_language,
        "mixture": asdict(lengths),
        "negatives": arguments.negatives,
        "windower": windower.settings,
        "tokenizer": tokenizer_digest(windower.tokenizer),
        "code": code_digest(across, mixture, features, qa_windows, randomness),
    }
    folder = cache_folder("training_windows", made_of)
    with FileLock(folder / "lock"):
        if not (folder / SUMMARY).is_file():
            if lengths.changes_something():
                drawn = mix_lengths(list(drawn), lengths, around)
            if arguments.cross_language:
                drawn = ask_across(drawn, Questions(around), arguments.cross_language, training_args.seed)
            chunks = -(-len(rows) * lengths.documents_per_question // CHUNK)
            tools = (windower, arguments.negatives, training_args.seed)
            made = in_workers(_windows, tools, _chunks(drawn), arguments.num_proc)
            _store(
                folder, tqdm(made, "training windows", chunks, unit=f" x {CHUNK}", disable=None, leave=False), len(rows)
            )
    summary = read_json(folder / SUMMARY, "the training windows", dict)
    logger.info(
        "%(questions)d questions became %(windows)d training windows, %(positives)d with an answer; %(tokens).1f M "
        "tokens, longest %(longest)d",
        {**summary, "tokens": summary["tokens"] / 1e6},
    )
    return TrainingWindows(datasets.Dataset.from_file(str(folder / WINDOWS)), training_args.seed)


def _in_batches(rows: "datasets.Dataset") -> Iterator[dict[str, Any]]:
    """The rows: an eighth of the time that they take one by one, and not all of them in memory."""
    for first in range(0, len(rows), 1000):
        yield from rows.select(range(first, min(first + 1000, len(rows)))).to_list()


def _rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _chunks(rows: Iterator[Mapping[str, Any]]) -> Iterator[tuple[list[Mapping[str, Any]], int]]:
    """CHUNK rows at a time, with the number of the first of them."""
    first = 0
    while chunk := list(islice(rows, CHUNK)):
        yield chunk, first
        first += len(chunk)


def _windows(tools: tuple[Windower, int, int], chunk: tuple[Sequence[Mapping[str, Any]], int]) -> pa.Table:
    """The training windows of some rows, the first of which has the number that comes with them."""
    windower, negatives, seed = tools
    rows, first = chunk
    windows = list(train_features(rows, windower, negatives=negatives, seed=seed, first=first))
    return pa.Table.from_pydict({name: [window[name] for window in windows] for name in SCHEMA.names}, schema=SCHEMA)


def _store(folder: Path, tables: Iterable[pa.Table], questions: int) -> None:
    """Write the windows, and behind them how many there are; a killed process leaves neither of them."""
    counts = {"questions": questions, "windows": 0, "positives": 0, "tokens": 0, "longest": 0}
    partial = folder / f"{WINDOWS}.partial"
    with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
            lengths = table.column("length").to_pylist()
            counts["windows"] += len(table)
            counts["positives"] += sum(ends != [NO_ANSWER] for ends in table.column("ends").to_pylist())
            counts["tokens"] += sum(lengths)
            counts["longest"] = max([counts["longest"], *lengths])
    if not counts["windows"]:
        raise UserError("no training window could be made: no answer is covered by the tokenizer's tokens")
    os.replace(partial, folder / WINDOWS)
    write_atomically(folder / SUMMARY, json.dumps(counts))
