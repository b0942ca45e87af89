"""One vector a document: does a question find its document? Recall at 1, by how a document becomes a vector.

    python -m benchmarks.retrieval --data FairytaleQA=long/en.fairytaleqa-dev.json --reading cut mean best local whole
    python -m benchmarks.retrieval --data XQ3=data/xquad --language en es --nr_concats 12 --trained runs/embedder

`cut` is the source on its first 512 tokens; `mean` and `best` are the source on pieces of 512, as the mean of their
vectors or the piece that is nearest to the question; `whole` is the converted model, untrained, whose first token sees
and is seen by all, and `local` the same without that; `trained` is --trained. `local-512` has a window of 512 instead;
`full` and `full-interpolated` are the source with full attention and the converted model's positions, or its own drawn
out. Documents end at 4,096 tokens for all of them. Questions are the source's, and of `trained` its own. Adds to
OUTPUT.json and prints a table.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foundation.cli import UserError, command_parser, run, short_repr
from foundation.files import read_json, write_atomically
from training.embedding.model import encoder, load_embedder
from training.embedding.pieces import cut, mean, piece_vectors, room, vectors_of

READINGS = ("cut", "mean", "best", "local", "local-512", "whole", "full", "full-interpolated", "trained")
LONGEST = 4096


@dataclass(frozen=True)
class Models:
    """The models that are compared, by folder or name, and the folder that keeps their vectors."""

    source: str
    long: str
    trained: str | None
    device: str | None
    cache: Path


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Recall at 1 of the right document for its questions.",
        example="python -m benchmarks.retrieval --data stories=stories.json --reading cut mean whole",
    )
    parser.add_argument("--data", required=True, help="LABEL=FILE in SQuAD's format, or LABEL=FOLDER of XQuAD's files")
    parser.add_argument("--language", nargs="+", default=["en"], help="languages of XQuAD")
    parser.add_argument("--nr_concats", type=int, default=12, help="paragraphs of a document of XQuAD")
    parser.add_argument("--source", default="embedded", help="the short model")
    parser.add_argument("--long", default="embedded-long", help="the converted one")
    parser.add_argument("--trained", help="the converted one after training/embed.py")
    parser.add_argument("--reading", nargs="+", choices=READINGS, default=["cut", "mean", "best", "local", "whole"])
    parser.add_argument("--documents", type=int, help="take this many documents, evenly spread (default: all)")
    parser.add_argument("--cache", type=Path, default=Path("runs/retrieval"), help="folder that keeps the vectors")
    parser.add_argument("--output", type=Path, default=Path("runs/retrieval.json"))
    parser.add_argument("--device", help="cpu, cuda ... (default: the accelerator where there is one)")
    return parser


def load(
    data: str, languages: Sequence[str], nr_concats: int, count: int | None
) -> tuple[str, dict[str, tuple[list[str], list[str], np.ndarray]]]:
    """The label, and by language `count` documents, questions and the number of each question's document."""
    from training.corpora.load import load_qa
    from training.corpora.options import concat_options

    label, _, path = data.partition("=")
    if not (label and path):
        raise UserError(f"--data {data!r} is not LABEL=FILE or LABEL=FOLDER")
    found = {}
    if Path(path).is_dir():
        from hub_datasets.concat import ConcatOptions

        options = concat_options("xq3", ConcatOptions(nr_concats=nr_concats, questions="all"))
        for language in languages:
            found[language] = load_qa("xq3", "validation", data_dir=path, language=language, options=options)
    else:
        found["en"] = load_qa("file", "validation", data_files=path)
    return label, {language: _questions(rows, count) for language, rows in found.items()}


def _questions(rows: Any, count: int | None) -> tuple[list[str], list[str], np.ndarray]:
    from training.corpora.load import spread

    documents = list(dict.fromkeys(rows["context"]))
    documents = [documents[number] for number in spread(len(documents), count)]
    numbers = {document: number for number, document in enumerate(documents)}
    # A question without an answer has no right document, so it is left out.
    asked = [(row["question"], numbers[row["context"]]) for row in rows
             if row["context"] in numbers and row["answers"]["text"]]  # fmt: skip
    return documents, [question for question, _ in asked], np.array([number for _, number in asked])


def similarities(models: Models, reading: str, documents: Sequence[str], questions: np.ndarray) -> np.ndarray:
    """(questions, documents): how near each document is to each question."""
    if reading in ("mean", "best"):
        pieces = _kept(models, "pieces", documents, lambda: _pieces(models, documents))
        if reading == "best":
            return np.stack([(questions @ vectors.T).max(axis=1) for vectors in pieces], axis=1)
        return questions @ np.stack([mean(vectors) for vectors in pieces]).T
    (vectors,) = _kept(
        models, reading, documents, lambda: [vectors_of(_model(models, reading), documents, "document", 1, True)]
    )
    return questions @ vectors.T


def _asked(models: Models, reading: str, questions: Sequence[str]) -> np.ndarray:
    """(questions, dimensions): vectors of the trained model, else of the source, whose the converted one's are."""
    name, model = ("questions of trained", "trained") if reading == "trained" else ("questions", "cut")
    (vectors,) = _kept(
        models, name, questions, lambda: [vectors_of(_model(models, model), questions, "query", 32, True)]
    )
    return vectors


def _pieces(models: Models, documents: Sequence[str]) -> list[np.ndarray]:
    """As many tokens of a document as the long model reads, in the source's pieces."""
    source, longest = _model(models, "cut"), room(_model(models, "whole"))
    beginnings = [next(cut(document, source.tokenizer, iter(lambda: longest, None))) for document in documents]
    return piece_vectors(source, beginnings, 4, True)


def _model(models: Models, reading: str) -> Any:
    load_it: Callable[..., Any] = partial(load_embedder, device=models.device)
    if reading == "cut":
        return load_it(models.source, argument="--source")
    if reading == "trained":
        if models.trained is None:
            raise UserError("--reading trained needs --trained, the folder that training/embed.py wrote")
        return load_it(models.trained, argument="--trained", max_length=LONGEST)
    if reading.startswith("full"):
        return _with_positions(load_it(models.source, argument="--source"), _table(models, reading))
    window = {"attention_window": 512} if reading == "local-512" else {}
    return load_it(
        models.long, argument="--long", max_length=LONGEST, first_token_global=reading == "whole", config=window
    )


def _table(models: Models, reading: str) -> Any:
    """4,096 position rows: the converted model's, or the source's with steps between them."""
    import torch

    if reading == "full":
        weights = encoder(load_embedder(models.long, first_token_global=False)).embeddings.position_embeddings.weight
        return weights.detach()[-LONGEST:].clone()
    rows = encoder(load_embedder(models.source)).embeddings.position_embeddings.weight.detach()
    return torch.nn.functional.interpolate(rows.T[None], size=LONGEST, mode="linear", align_corners=True)[0].T


def _with_positions(model: Any, table: Any) -> Any:
    """The source (of BERT's layout) with another position table, and so of another length."""
    import torch

    embeddings = encoder(model).embeddings
    if type(embeddings).__name__ != "BertEmbeddings":
        raise UserError(f"--reading full takes a --source of BERT's layout, not {type(embeddings).__name__}")
    embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(table.to(embeddings.position_embeddings.weight))
    embeddings.register_buffer("position_ids", torch.arange(len(table), device=table.device)[None], persistent=False)
    embeddings.register_buffer("token_type_ids", torch.zeros_like(embeddings.position_ids), persistent=False)
    encoder(model).config.max_position_embeddings = len(table)
    model.max_seq_length = len(table)
    return model.to(model.device)


def _kept(models: Models, what: str, texts: Sequence[str], make: Callable[[], list[np.ndarray]]) -> Any:
    """The vectors of one reading, made unless they lie in the cache."""
    trained = what.endswith("trained")
    names = [what, models.source, models.long, models.trained if trained else None]
    weights = Path(str(models.trained)) / "model.safetensors"
    if trained and weights.is_file():
        names.append(weights.stat().st_mtime_ns)
    key = hashlib.sha256(json.dumps([*names, *texts]).encode()).hexdigest()[:16]
    path = models.cache / f"{what}-{key}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial.npz")
        np.savez(partial_path, *make())
        partial_path.rename(path)
    with np.load(path) as vectors:
        return [vectors[name] for name in vectors.files]


def scores(near: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Recall at 1 in percent, and the mean of 100 / rank; a document that ties with the right one comes before it."""
    own = near[np.arange(len(right)), right]
    rank = (near >= own[:, None]).sum(axis=1)
    return {"recall_at_1": 100 * float((rank == 1).mean()), "mrr": 100 * float((1 / rank).mean())}


def main() -> None:
    from benchmarks.machine import machine
    from foundation import tables

    args = make_parser().parse_args()
    label, parts = load(args.data, args.language, args.nr_concats, args.documents)
    models = Models(args.source, args.long, args.trained, args.device, args.cache)
    lines: list[list[Any]] = []
    points = []
    for language, (documents, asked, right) in parts.items():
        for reading in args.reading:
            point = scores(similarities(models, reading, documents, _asked(models, reading, asked)), right)
            what = {"data": label, "language": language, "documents": len(documents), "questions": len(asked)}
            trained = args.trained if reading == "trained" else None
            points.append({**what, "reading": reading, "trained": trained, **point})
            lines.append([f"{label} {language}, {reading}", len(documents), len(asked), *point.values()])
    _add(args.output, points, machine())
    print(tables.aligned(["reading", "documents", "questions", "recall at 1", "MRR"], lines))


def _add(output: Path, points: list[dict[str, Any]], where: dict[str, Any]) -> None:
    """Put the points into the file, in the place of older ones of the same name."""

    def name(point: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(point.get(key) for key in ("data", "language", "documents", "reading", "trained"))

    older = read_json(output, "--output", dict)["points"] if output.is_file() else []
    if not isinstance(older, list):
        raise UserError(f"--output {str(output)!r} holds {short_repr(older)} for points: is it another benchmark's?")
    new = {name(point) for point in points}
    kept = [point for point in older if name(point) not in new]
    write_atomically(output, json.dumps({"machine": where, "points": [*kept, *points]}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
