"""A look at a data set before the work: what is in it, what is odd, and what a window cuts.

    python -m training.data_report --dataset file --data_files mine.json
    python -m training.data_report --dataset xquad --language all --data_dir data/xquad --output report.json

Prints a line for each language. Nothing is trained and no model is loaded, only its tokenizer.
"""

import argparse
import json
from dataclasses import replace
from typing import Any

from foundation.cli import UserError, command_parser, one_line, run
from foundation.files import write_atomically
from hub_datasets.concat import ON_BAD_SPAN, QUESTIONS, ConcatOptions
from training.corpora.load import load_qa
from training.corpora.options import concat_options

# Column of the table: key of a language's report.
COLUMNS = {
    "questions": "questions", "unanswerable": "unanswerable", "same id": "duplicate_ids", "blank": "blank_questions",
    "not NFC": "not_nfc", "cut": "cut_questions", "golds": "golds", "too long": "long_golds",
    "paragraphs apart": "paragraphs_apart", "documents": "documents", "mean tokens": "mean_tokens",
    "longest": "longest_tokens",
}  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Count what is in a data set, what is odd about it, and what a window cuts.",
        example="python -m training.data_report --dataset sample --language all --split train",
    )
    add = parser.add_argument
    add("--dataset", default="file", help="as for score.py: squad, xq3, file, a Hub id ...")
    add("--dataset_config", help="configuration of a data set on the Hub")
    add("--split", default="validation", help="train, validation or test")
    add("--language", help="one, several with commas, or all")
    add("--data_files", help="file or pattern (--dataset file)")
    add("--data_dir", help="folder of the data set's official files; without it the Hub is asked")
    add("--nr_concats", type=int, help="paragraphs joined into one context (default: 3 for sq3 and xq3, else 1)")
    add("--questions", choices=QUESTIONS, help="of each paragraph (default: first for sq3 and xq3, else all)")
    add("--within_articles", action="store_true", help="join only paragraphs of one article")
    add("--on_bad_span", default="drop", choices=ON_BAD_SPAN, help="for an answer that is not at its answer_start")
    add("--changes_dir", default="", help="folder for the list of what repair_or_drop changed")
    add("--columns", help="other names of a file's columns, THEIRS=OURS with commas: question_id=id")
    add("--model_name_or_path", default="embedded", help="whose tokenizer counts")
    add("--max_length", type=int, default=512, help="tokens of a window, question included")
    add("--max_question_length", type=int, default=128, help="longer questions are cut to this many tokens")
    add("--max_answer_length", type=int, default=30, help="longest answer that is looked for, in tokens")
    add("--do_lowercase", action="store_true", help="lower-case question and document")
    add("--output", help="also write the report to this JSON file")
    return parser


def report(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Language to what `training.scoring.survey.survey` counts, and `paragraphs_apart`."""
    from transformers import AutoTokenizer

    from conversion.named import resolve
    from training.qa.windows import Windower
    from training.scoring.survey import contexts_that_return, survey

    if args.max_answer_length < 1:
        raise UserError(f"--max_answer_length {args.max_answer_length} is below 1: give a whole number from 1 up")
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(args.model_name_or_path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--model_name_or_path {args.model_name_or_path!r} has no tokenizer that can be loaded "
            f"({one_line(error)}): check the folder or the Hub id"
        ) from error
    windower = Windower(tokenizer, args.max_length, 0, args.max_question_length, args.do_lowercase)
    options = concat_options(args.dataset, args)
    rows = _load(args, options)
    paragraphs = rows
    if (options.nr_concats, options.questions) != (1, "all"):
        paragraphs = _load(args, replace(options, nr_concats=1, questions="all"))
    found = {}
    for language in dict.fromkeys(rows["language"]):
        apart = contexts_that_return(_of(paragraphs, language)["context"])
        found[language] = survey(_of(rows, language), windower, args.max_answer_length) | {"paragraphs_apart": apart}
    return found


def _load(args: argparse.Namespace, options: ConcatOptions) -> Any:
    return load_qa(
        args.dataset,
        args.split,
        data_files=args.data_files,
        data_dir=args.data_dir,
        language=args.language,
        config=args.dataset_config,
        options=options,
        unique_ids=False,
    )


def _of(rows: Any, language: str) -> Any:
    return rows.select([number for number, code in enumerate(rows["language"]) if code == language])


def main() -> None:
    from foundation import tables

    args = make_parser().parse_args()
    found = report(args)
    lines: list[list[Any]] = [[language, *(each[key] for key in COLUMNS.values())] for language, each in found.items()]
    print(tables.aligned(["language", *COLUMNS], lines))
    print()
    lengths = [
        [language, each["above"], each["to"], each["documents"]]
        for language, held in found.items()
        for each in held["by_length"]
    ]
    print(tables.aligned(["language", "tokens above", "up to", "documents"], lengths))
    if args.output:
        write_atomically(args.output, json.dumps(found, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
