"""What `--on_bad_span repair_or_drop` makes of answers that do not stand where their file says.

    python -m benchmarks.bad_spans --data_files '../shared/data/multilingual/*.json'

Takes SQuAD-format files whose answers are right and spoils the first answer of each question in one way after another:
its offset is moved by up to `--shift` characters, and its text gets other white space, punctuation, width, case or
Unicode form (where that changes it). Counted is where repair_or_drop puts it: back at its own place, elsewhere (another
place where the same text stands), or nowhere.
"""

import glob
import json
import random
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from foundation import tables
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

SPOILED: dict[str, Callable[[str], str]] = {
    "offset alone": lambda text: text,
    "white space": lambda text: text.replace(" ", "\n "),
    "punctuation": lambda text: f"“{text}”.",
    "width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "case": lambda text: text.upper(),
    "Unicode form": lambda text: unicodedata.normalize("NFD", text),
}


def spoil(path: Path, shift: int, seed: int) -> dict[str, Counter[str]]:
    """Way of spoiling -> how many answers were put "back", "elsewhere" or "nowhere"."""
    from hub_datasets.concat import Question
    from hub_datasets.spans import mend_spans
    from hub_datasets.squad_format import read_paragraphs

    paragraphs = read_paragraphs(path.read_bytes(), path.name)
    found: dict[str, Counter[str]] = {}
    for name, change in SPOILED.items():
        found[name] = Counter()
        draw = random.Random(seed)
        for paragraph in paragraphs:
            right: dict[str, int] = {}
            bad = []
            for question in paragraph.questions:
                moved = draw.choice((-1, 1)) * draw.randint(1, shift)
                if not question.texts or (name != "offset alone" and change(question.texts[0]) == question.texts[0]):
                    continue
                number, start = str(len(bad)), question.answer_starts[0]
                right[number] = start
                bad.append(Question(number, "", [change(question.texts[0])], [max(0, start + moved)]))
            ((mended,), _, _) = mend_spans([paragraph._replace(questions=bad)], "repair_or_drop", path.name)
            put = {question.id: question.answer_starts[0] for question in mended.questions}
            for number, start in right.items():
                found[name]["nowhere" if number not in put else "back" if put[number] == start else "elsewhere"] += 1
    return found


def main() -> None:
    parser = command_parser(
        description="Spoil answers that are right, and count where repair_or_drop puts them.",
        example="python -m benchmarks.bad_spans --data_files 'data/*.json' --output runs/bad_spans.json",
    )
    parser.add_argument("--data_files", required=True, help="SQuAD-format file or pattern whose answers are right")
    parser.add_argument("--shift", type=int, default=20, help="characters that an offset is moved by, at most")
    parser.add_argument("--seed", type=int, default=42, help="of how far")
    parser.add_argument("--output", help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    report(arguments.data_files, arguments.shift, arguments.seed, arguments.output)


def report(data_files: str, shift: int, seed: int, output: str | None) -> None:
    """Print the figures of all files together, and write those of each."""
    from tqdm.auto import tqdm

    files = sorted(Path(path) for path in glob.glob(data_files))
    if not files:
        raise UserError(f"--data_files {data_files!r} names no file: check the pattern")
    if shift < 1:
        raise UserError(f"--shift {shift} is below 1: give a whole number from 1 up")
    by_file = {path.name: spoil(path, shift, seed) for path in tqdm(files, desc="files")}
    lines = []
    for name in SPOILED:
        total = sum((each[name] for each in by_file.values()), Counter[str]())
        share = 100 * total["back"] / max(total.total(), 1)
        lines.append([name, total.total(), total["back"], total["elsewhere"], total["nowhere"], round(share, 1)])
    print(tables.markdown(["spoiled", "answers", "back", "elsewhere", "nowhere", "back, %"], lines))
    if output:
        write_atomically(output, json.dumps(by_file, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
