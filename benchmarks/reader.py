"""How long a question takes: the long reader beside the short source with a stride, and its cost by length.

    python -m benchmarks.reader
    python -m benchmarks.reader --lengths 4096 --repeats 15

All are the embedded model with a fresh question-answering head, since time does not depend on what was learned: made
long (windows of 4,096 tokens, the question global), the same weights in windows of 512 (neighbours sharing 128), and
the source as it is. They take turns, so that a noisy moment hits all; on the accelerator, and in bf16 where that pays,
as the page reads. Writes docs/reader.json.
"""

import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from foundation.cli import command_parser, run
from foundation.files import write_atomically

QUESTION = "What did the author buy during the first voyage to America?"
GOAL_TOKENS, GOAL_SECONDS = 4_096, 2.5
LONG = "long, windows of 4,096"


def document_of(reader: Any, tokens: int, text: str) -> str:
    """The beginning of `text`, repeated as needed, that has `tokens` tokens."""
    whole = reader.prepare((text * (1 + 8 * tokens // len(text)))[: 8 * tokens])
    return whole.text[: int(whole.offsets[tokens - 1, 1])]


def readers() -> dict[str, Any]:
    """The long reader and its short source, by the name in the table."""
    import torch

    from space.reader import DOC_STRIDE, MAX_QUESTION_TOKENS, Reader
    from training.qa.model import check_max_length, load_qa_model
    from training.qa.precision import bfloat16_pays
    from training.qa.windows import Windower

    long, tokenizer = load_qa_model("embedded-long", fresh_head=True)
    source, _ = load_qa_model("embedded", fresh_head=True)
    found = {}
    for label, model, length in (
        (LONG, long, None),
        ("long, windows of 512", long, 512),
        ("source, windows of 512", source, None),
    ):
        if torch.accelerator.is_available():
            model.to(torch.accelerator.current_accelerator())
        windower = Windower(tokenizer, check_max_length(model, length), DOC_STRIDE, MAX_QUESTION_TOKENS)
        found[label] = Reader(model, windower, label, half=bfloat16_pays(model.device))
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


def main() -> None:
    parser = command_parser(
        description="Time the long reader beside the short source.",
        example="python -m benchmarks.reader --lengths 4096 --repeats 9",
    )
    parser.add_argument("--lengths", default="1024,4096,16384,65536", help="tokens of the documents, with commas")
    parser.add_argument("--repeats", type=int, default=9, help="rounds a length, fewer above 4,096 tokens")
    parser.add_argument("--output", type=Path, default=Path("docs/reader.json"), help="where the figures go")
    arguments = parser.parse_args()
    from benchmarks.machine import machine
    from foundation.tables import aligned

    rows = measure([int(length) for length in arguments.lengths.split(",")], arguments.repeats)
    header = list(rows[0])
    print(aligned(header, [[row[column] for column in header] for row in rows]))
    where = machine()
    goal = [row["median_s"] for row in rows if row["tokens"] == GOAL_TOKENS]
    if goal:
        print(f"goal: {GOAL_TOKENS:,} tokens in {GOAL_SECONDS} s; measured {goal[0]} s on {where['threads']} threads")
    write_atomically(arguments.output, json.dumps({"machine": where, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
