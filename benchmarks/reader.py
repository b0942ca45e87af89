"""How long a question takes: the long reader beside the short source with a stride, and its cost by length.

    python -m benchmarks.reader --data_dir data/xquad
    python -m benchmarks.reader --lengths 4096 --repeats 15
    python -m benchmarks.reader --lengths "" --data_dir data/xquad  # the answers alone

All are the embedded model with a fresh question-answering head, since time does not depend on what was learned: made
long (windows of 4,096 tokens, the question global), the same weights in windows of 512 (neighbours sharing 128), and
the source as it is. They take turns, so that a noisy moment hits all; on the accelerator, and in bf16 where that pays,
as the page reads, beside the long one in float32. With --data_dir the shipped adapter also answers questions of XQ3
under both precisions, and what differs is counted.
"""

import json
import operator
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundation.cli import command_parser, run
from foundation.files import read_json, write_atomically

QUESTION = "What did the author buy during the first voyage to America?"
GOAL_TOKENS, GOAL_SECONDS = 4_096, 2.5
LONG = "long, windows of 4,096"


def document_of(reader: Any, tokens: int, text: str) -> str:
    """The beginning of `text`, repeated as needed, that has `tokens` tokens."""
    whole = reader.prepare((text * (1 + 8 * tokens // len(text)))[: 8 * tokens])
    return whole.text[: int(whole.offsets[tokens - 1, 1])]


def readers() -> dict[str, Any]:
    """The long reader as the page has it and in float32, and its short source, by the name in the table."""
    import torch

    from space.reader import DOC_STRIDE, MAX_QUESTION_TOKENS, Reader
    from training.qa.model import check_max_length, load_qa_model
    from training.qa.precision import bfloat16_pays
    from training.qa.windows import Windower

    long, tokenizer = load_qa_model("embedded-long", fresh_head=True)
    source, _ = load_qa_model("embedded", fresh_head=True)
    if torch.accelerator.is_available():
        for model in (long, source):
            model.to(torch.accelerator.current_accelerator())
    pays = bfloat16_pays(long.device)
    found = {}
    for label, model, length, half in (
        (LONG, long, None, pays),
        *([(f"{LONG}, float32", long, None, False)] if pays else []),
        ("long, windows of 512", long, 512, pays),
        ("source, windows of 512", source, None, pays),
    ):
        windower = Windower(tokenizer, check_max_length(model, length), DOC_STRIDE, MAX_QUESTION_TOKENS)
        found[label] = Reader(model, windower, label, half=half)
    return found


def timed(reader: Any, document: Any) -> tuple[float, int]:
    """Seconds of one reading, and its windows; a document that comes as text is tokenised in them."""
    started = time.perf_counter()
    windows = len(reader.read(document, QUESTION).windows)
    return time.perf_counter() - started, windows


def rounds(length: int, repeats: int) -> int:
    """Fewer of the documents beyond the goal's length, which take as long as many short ones; two at least."""
    return max(2, repeats * min(GOAL_TOKENS, length) // length)


def measure(lengths: list[int], repeats: int) -> list[dict[str, Any]]:
    """One row a length and reader: median, fastest and slowest seconds, those of a second question to a document that
    is tokenised already, and the highest memory of this process until then."""
    from tqdm.auto import tqdm

    from space.gallery import examples

    text = examples()["English, a book"].text
    loaded = readers()
    rows = []
    for reader in loaded.values():  # the first reading also loads the model, and is not measured
        timed(reader, document_of(reader, lengths[0], text))
    with tqdm(total=sum(rounds(length, repeats) for length in lengths), unit="round", leave=False) as bar:
        for length in lengths:
            document = document_of(next(iter(loaded.values())), length, text)
            seconds: dict[str, list[float]] = {label: [] for label in loaded}
            again, windows = {}, {}
            for _ in range(rounds(length, repeats)):
                for label, reader in loaded.items():
                    elapsed, windows[label] = timed(reader, document)
                    seconds[label].append(elapsed)
                bar.update()
            for label, reader in loaded.items():
                again[label], _ = timed(reader, reader.prepare(document))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            for label, values in seconds.items():
                rows.append(
                    {
                        "tokens": length,
                        "reader": label,
                        "precision": "bfloat16" if loaded[label].half else "float32",
                        "windows": windows[label],
                        "rounds": len(values),
                        "median_s": round(statistics.median(values), 3),
                        "min_s": round(min(values), 3),
                        "max_s": round(max(values), 3),
                        "again_s": round(again[label], 3),
                        "s_per_1k_tokens": round(statistics.median(values) / length * 1000, 3),
                        "peak_mb": round(peak),
                    }
                )
    return rows


def agreement(reader: Any, rows: Sequence[dict[str, Any]], language: str) -> dict[str, Any]:
    """What bfloat16 does to answers: the share of questions, in %, with the same best place and with the same verdict
    as in float32, and the F1 of the best places under either.

    Args:
        rows: with `id`, `question`, `context` and `answers`, in `language`.
    """
    from training.scoring.metrics import score

    single, half = (
        [replace(reader, half=half).read(row["context"], row["question"]) for row in rows] for half in (False, True)
    )
    places = [[(r.answers[0].start, r.answers[0].end) for r in readings] for readings in (single, half)]
    verdicts = [[r.verdict for r in readings] for readings in (single, half)]
    f1 = [
        score("squad", rows, {row["id"]: r.answers[0].text for row, r in zip(rows, readings, strict=True)})["f1"]
        for readings in (single, half)
    ]
    return {
        "language": language,
        "questions": len(rows),
        **{
            name: round(100 * sum(map(operator.eq, *both)) / len(rows), 1)
            for name, both in (("same_place", places), ("same_verdict", verdicts))
        },
        "f1_float32": round(f1[0], 1),
        "f1_bfloat16": round(f1[1], 1),
    }


def agreements(data_dir: Path, languages: list[str], questions: int) -> list[dict[str, Any]]:
    """`agreement` of the shipped adapter on questions of XQ3, evenly spread, for each language."""
    from hub_datasets.concat import ConcatOptions
    from space.reader import load_reader
    from training.corpora.load import evenly, load_qa

    reader, found = load_reader(), []
    for language in languages:
        file = str(data_dir / f"xquad.{language}.json")
        rows = load_qa("xquad", "validation", data_files=file, language=language, options=ConcatOptions(3))
        found.append(agreement(reader, evenly(rows, questions).to_list(), language))
    return found


def main() -> None:
    parser = command_parser(
        description="Time the long reader beside the short source.",
        example="python -m benchmarks.reader --lengths 4096 --repeats 9",
    )
    parser.add_argument(
        "--lengths", default="1024,4096,16384,65536", help="tokens of the documents, with commas; empty keeps the times"
    )
    parser.add_argument("--repeats", type=int, default=9, help="rounds a length, fewer above 4,096 tokens")
    parser.add_argument(
        "--data_dir", type=Path, help="folder of XQuAD's official files, to compare answers under bfloat16"
    )
    parser.add_argument("--language", default="en,de", help="languages of these questions, with commas")
    parser.add_argument("--questions", type=int, default=60, help="of these, how many a language")
    parser.add_argument("--output", type=Path, default=Path("runs/reader.json"), help="where the figures go")
    arguments = parser.parse_args()
    from benchmarks.machine import machine
    from foundation.tables import aligned

    output, where = arguments.output, machine()
    # Each part keeps the machine of its own: answers need no quiet one, and are asked again after a training.
    report: dict[str, Any] = read_json(output, "--output", dict) if output.is_file() else {}
    if lengths := [int(length) for length in arguments.lengths.split(",") if length]:
        rows = measure(lengths, arguments.repeats)
        report |= {"machine": where, "rows": rows}
        print(aligned(list(rows[0]), [list(row.values()) for row in rows]))
        goal = [row["median_s"] for row in rows if row["tokens"] == GOAL_TOKENS]
        if goal:
            print(
                f"goal: {GOAL_TOKENS:,} tokens in {GOAL_SECONDS} s; measured {goal[0]} s on {where['threads']} threads"
            )
    if arguments.data_dir:
        found = agreements(arguments.data_dir, arguments.language.split(","), arguments.questions)
        report["answers"] = {"machine": where, "languages": found}
        print(aligned(list(found[0]), [list(row.values()) for row in found]))
    write_atomically(output, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
