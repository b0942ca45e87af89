"""Documents that are long by nature, from their official files to one file in SQuAD's format.

    python -m hub_datasets.to_squad --format fairytaleqa --input FairytaleQAData --split val --output fairytaleqa.json
    python -m hub_datasets.to_squad --format timeqa --input dataset/human_train.easy.json.gzip --output timeqa.json
    python -m hub_datasets.to_squad --format musique --input musique_ans_v1.0_dev.jsonl --output musique.json

fairytaleqa  stories: an answer is every place of it in the sections that the annotators name, which are the evidence
timeqa       articles whose answers differ by date: answers at the places that the file gives; some have none
musique      20 paragraphs, 2 to 4 hops: the answer's places in the paragraph of the last hop; each hop's paragraph is
             evidence, in the order of the hops

A question whose answer stands nowhere in its place is left out, and their number is said.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

from .background import SEPARATOR
from .concat import CorpusError
from .reading import Rows, read, unpack

SPLITS = ("train", "val", "test")


class Asked(NamedTuple):
    """A question about a document; without an answer it is left out, or unanswerable where the data says so."""

    title: str
    context: str
    id: str
    question: str
    answers: list[tuple[int, str]]
    evidence: list[tuple[int, int]]
    impossible: bool = False


def fairytaleqa(folder: Path, split: str) -> Iterator[Asked]:
    """Every question of a split of FairytaleQA, from the repository's folder or its data-by-train-split."""
    inside = folder / "data-by-train-split"
    root = inside if inside.is_dir() else folder
    files = sorted((root / "questions" / split).glob("*-questions.csv"))
    if not files:
        raise UserError(f"--input {str(folder)!r} has no questions/{split}/*-questions.csv: give FairytaleQA's folder")
    for file in files:
        name = file.name.removesuffix("-questions.csv")
        sections = _csv(root / "section-stories" / split / f"{name}-story.csv", ("section", "text"))
        spans: dict[str, tuple[int, int]] = {}
        at = 0
        for section in sections:
            spans[section["section"].strip()] = at, at + len(section["text"])
            at += len(section["text"]) + len(SEPARATOR)
        context = SEPARATOR.join(section["text"] for section in sections)
        for row in _csv(file, ("question_id", "cor_section", "question", "answer1")):
            named = [spans[part] for part in re.findall(r"\d+", row["cor_section"]) if part in spans]
            texts = {row[key].strip().rstrip(".") for key in row if re.fullmatch(r"answer\d", key) and row[key]}
            found = sorted({place for text in texts for span in named for place in _places(text, context, span)})
            yield Asked(name, context, f"{name}-{row['question_id']}", row["question"].strip(), found, named)


def timeqa(file: Path, _split: str) -> Iterator[Asked]:
    """Every question of one of TimeQA's files of an easy or a hard set (JSON lines, gzip or not)."""
    level = next((f"-{word}" for word in ("easy", "hard") if f".{word}." in file.name), "")
    for row in _json_lines(file, ("idx", "question", "context", "targets", "from", "end")):
        targets = zip(row["targets"], row["from"], row["end"], strict=True)
        given = [(start, text) for text, start, _ in targets if text]
        found = [(start, text) for start, text in given if row["context"].startswith(text, start)]
        title = str(row["idx"]).split("#")[0].removeprefix("/wiki/").replace("_", " ")
        key = f"{row['idx']}{level}"
        yield Asked(title, row["context"], key, row["question"], found, [], impossible=not given)


def musique(file: Path, _split: str) -> Iterator[Asked]:
    """Every question of one of MuSiQue's files, musique_ans or musique_full (JSON lines)."""
    keys = ("id", "question", "answer", "answer_aliases", "paragraphs", "question_decomposition")
    for row in _json_lines(file, keys):
        parts = [f"{paragraph['title']}\n{paragraph['paragraph_text']}" for paragraph in row["paragraphs"]]
        spans: dict[Any, tuple[int, int]] = {}
        at = 0
        for paragraph, part in zip(row["paragraphs"], parts, strict=True):
            spans[paragraph["idx"]] = at, at + len(part)
            at += len(part) + len(SEPARATOR)
        context = SEPARATOR.join(parts)
        hops = [step["paragraph_support_idx"] for step in row["question_decomposition"]]
        if row.get("answerable") is False:
            yield Asked(str(row["id"]), context, str(row["id"]), row["question"], [], [], impossible=True)
            continue
        chain = [spans[hop] for hop in hops if hop in spans]
        texts = {text for text in (row["answer"], *row["answer_aliases"]) if text}
        found = sorted({place for text in texts for place in _places(text, context, chain[-1])}) if chain else []
        yield Asked(str(row["id"]), context, str(row["id"]), row["question"], found, chain)


FORMATS: dict[str, Callable[[Path, str], Iterator[Asked]]] = {
    "fairytaleqa": fairytaleqa,
    "timeqa": timeqa,
    "musique": musique,
}


def to_squad(kind: str, source: Path, split: str = "train") -> tuple[dict[str, Any], int]:
    """The content of a SQuAD-format file (2.0's where some questions have no answer), and how many were left out.

    Raises:
        UserError: files that are missing or in another layout.
    """
    from tqdm import tqdm

    if not source.exists():
        raise UserError(f"--input {str(source)!r} does not exist: check the path")
    documents: dict[tuple[str, str], list[dict[str, Any]]] = {}
    left_out = 0
    unanswerable = False
    for asked in tqdm(FORMATS[kind](source, split), kind, unit="question", disable=None):
        if not asked.answers and not asked.impossible:
            left_out += 1
            continue
        answers = [{"text": text, "answer_start": start} for start, text in asked.answers]
        question: dict[str, Any] = {"id": asked.id, "question": asked.question, "answers": answers}
        if asked.impossible:
            question["is_impossible"] = unanswerable = True
        if asked.evidence:
            starts, ends = zip(*asked.evidence, strict=True)
            question["evidence"] = {"start": list(starts), "end": list(ends)}
        documents.setdefault((asked.title, asked.context), []).append(question)
    if not documents:
        raise UserError(f"--input {str(source)!r} gives no question: is it {kind}'s official file?")
    data = [
        {"title": title, "paragraphs": [{"context": context, "qas": questions}]}
        for (title, context), questions in documents.items()
    ]
    return {"version": "v2.0" if unanswerable else "1.1", "data": data}, left_out


def _places(text: str, context: str, span: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """Where `text` stands in a span of the context as whole words, in whatever case; with the text as it stands."""
    if not text:
        return
    before = r"(?<!\w)" if text[0].isalnum() else ""
    after = r"(?!\w)" if text[-1].isalnum() else ""
    words = r"\s+".join(map(re.escape, text.split()))  # the file may break a line between two words
    for found in re.compile(before + words + after, re.IGNORECASE).finditer(context, *span):
        yield found.start(), found.group()


def _csv(file: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    if not file.is_file():
        raise UserError(f"--input lacks {str(file)!r}: give FairytaleQA's whole folder")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--input {str(file)!r} cannot be read as CSV ({error}): is it the official file?") from error
    missing = [name for name in needed if not rows or rows[0].get(name) is None]
    if missing:
        raise UserError(f"--input {str(file)!r} has no column {missing[0]!r}: is it FairytaleQA's official file?")
    return rows


def _json_lines(file: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        raise UserError(f"--input {str(file)!r} is a folder: give one of the official files")
    try:
        found = read(unpack(file.read_bytes(), str(file)), str(file))
    except CorpusError as error:
        raise UserError(f"--input {error}") from None
    rows = found.rows if isinstance(found, Rows) else found if isinstance(found, list) else [found]
    for number, row in enumerate(rows):
        missing = [name for name in needed if not isinstance(row, dict) or name not in row]
        if missing:
            raise UserError(
                f"--input {str(file)!r}, row {number}, has no {missing[0]!r}: is it the official file of this --format?"
            )
        yield row


def main() -> None:
    assert __doc__ is not None
    parser = command_parser(
        description=__doc__.split("\n")[0],
        example="python -m hub_datasets.to_squad --format musique --input musique_ans_v1.0_dev.jsonl "
        "--output musique.json",
    )
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="whose official layout --input has")
    parser.add_argument("--input", required=True, help="the official file, or FairytaleQA's folder")
    parser.add_argument("--split", choices=SPLITS, default="train", help="fairytaleqa: the folder of the split")
    parser.add_argument("--output", required=True, help="SQuAD-format file to write")
    arguments = parser.parse_args()
    content, left_out = to_squad(arguments.format, Path(arguments.input).expanduser(), arguments.split)
    write_atomically(arguments.output, json.dumps(content, ensure_ascii=False))
    questions = [qa for article in content["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    print(
        f"{arguments.output}: {len(questions):,} questions about {len(content['data']):,} documents, "
        f"{sum('is_impossible' in qa for qa in questions):,} of them unanswerable; left out {left_out:,} whose answer "
        "does not stand in its place"
    )


if __name__ == "__main__":
    run(main)
