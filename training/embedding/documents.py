"""What embed.py trains on: documents cut at lengths of every size, or pairs of a question and its document."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foundation.cli import UserError
from training.corpora.load import load_qa
from training.pretraining.source import TextFile

from .pieces import cut


def documents(path: str, column: str, argument: str) -> Iterator[str]:
    """The texts of a file: SQuAD's format (each context once), JSON lines with `column`, or raw text, a part at a time.

    Raises UserError for a file that is missing, empty, binary, or lacks the column.
    """
    text = TextFile(path, argument)  # refuses what is no text
    if path.endswith(".json"):
        yield from dict.fromkeys(load_qa("file", "train", data_files=path)["context"])
    elif path.endswith(".jsonl"):
        yield from (str(row[column]) for row in _rows(path, (column,), argument))
    else:
        yield from ("".join(lines) for shard in range(text.shards) for lines in text.read(shard))


def stretches(texts: Iterator[str], tokenizer: Any, shortest: int, longest: int, seed: int) -> Iterator[dict[str, str]]:
    """Rows `{"text"}`: the texts cut at lengths from `shortest` to `longest` tokens, as many short ones as long ones.

    Drawn evenly on a logarithmic scale, so that a model learns lengths of every order alike.
    """
    generator = np.random.default_rng(seed)
    lengths = iter(lambda: round(float(np.exp(generator.uniform(np.log(shortest), np.log(longest))))), None)
    for text in texts:
        for part in cut(text, tokenizer, lengths):
            yield {"text": part}


def pairs(path: str, argument: str) -> Iterator[dict[str, str]]:
    """Rows `{"anchor", "positive"}` of a SQuAD-format file or of JSON lines with `question` and `context`."""
    if path.endswith(".jsonl"):
        rows: Any = _rows(path, ("question", "context"), argument)
    elif path.endswith(".json"):
        rows = load_qa("file", "train", data_files=path)
    else:
        raise UserError(
            f"{argument} {path!r} holds no pairs: give a SQuAD-format .json, or .jsonl of question and context"
        )
    for row in rows:
        yield {"anchor": row["question"], "positive": row["context"]}


def _rows(path: str, columns: tuple[str, ...], argument: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{argument} {path!r}, line {number}, is no JSON ({error.msg})") from error
        missing = [name for name in columns if not isinstance(row, dict) or not isinstance(row.get(name), str)]
        if missing:
            raise UserError(f"{argument} {path!r}, line {number}, has no text under {missing[0]!r}")
        yield row
