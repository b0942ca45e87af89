"""What embed.py trains on: documents cut at lengths of every size, or pairs of a question and its document."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foundation.cli import UserError, short_repr
from training.corpora.load import load_qa
from training.pretraining.source import open_files
from training.runs.randomness import Use, random_stream

from .pieces import cut


def documents(path: str, column: str, argument: str) -> Iterator[str]:
    """The texts of a file or folder: SQuAD's format (each context once), or as `pretrain.py` reads them.

    A row of JSON lines is a document; raw text comes a part at a time.
    Raises UserError for a file that is missing, empty, binary, or lacks the column.
    """
    if path.endswith(".json"):
        yield from dict.fromkeys(load_qa("file", "train", data_files=path)["context"])
        return
    source = open_files(path, argument, column)
    for shard in range(source.shards):
        entries = (entry for entries in source.read(shard) for entry in entries)
        yield from entries if source.rows else ["".join(entries)]


def stretches(texts: Iterator[str], tokenizer: Any, shortest: int, longest: int, seed: int) -> Iterator[dict[str, str]]:
    """Rows `{"text"}`: the texts cut at lengths from `shortest` to `longest` tokens, as many short ones as long ones.

    Drawn evenly on a logarithmic scale, so that a model learns lengths of every order alike.
    """
    generator = random_stream(seed, Use.STRETCH)
    lengths = iter(lambda: round(float(np.exp(generator.uniform(np.log(shortest), np.log(longest))))), None)
    for text in texts:
        for part in cut(text, tokenizer, lengths):
            yield {"text": part}


def pairs(path: str, argument: str) -> Iterator[dict[str, str]]:
    """Rows `{"anchor", "positive"}` of a SQuAD-format file or of JSON lines with `question` and `context`."""
    if not Path(path).is_file():
        raise UserError(f"{argument} {path!r} is not a file: check the path")
    if path.endswith(".jsonl"):
        rows: Any = _rows(path, argument)
    elif path.endswith(".json"):
        rows = load_qa("file", "train", data_files=path)
    else:
        raise UserError(
            f"{argument} {path!r} holds no pairs: give a SQuAD-format .json, or .jsonl of question and context"
        )
    for row in rows:
        yield {"anchor": row["question"], "positive": row["context"]}


def _rows(path: str, argument: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{argument} {path!r}, line {number}, is no JSON ({error.msg})") from error
            for name in ("question", "context"):
                if not isinstance(row, dict) or not isinstance(row.get(name), str):
                    raise UserError(
                        f"{argument} {path!r}, line {number}, has no text under {name!r}: {short_repr(line)}"
                    )
            yield row
