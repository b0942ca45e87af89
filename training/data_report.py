"""A look at a data set before the work: what is in it, what is odd, and what a window cuts.

    python -m training.data_report --dataset file --data_files mine.json
    python -m training.data_report --dataset xquad --language all --data_dir data/xquad --output report.json

Prints a line for each language. Nothing is trained and no model is loaded, only its tokenizer.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from foundation.cli import UserError, one_line, run
from foundation.files import write_atomically
from hub_datasets.concat import ConcatOptions
from training.corpora.arguments import DataArguments, SplitArguments
from training.corpora.load import load_qa
from training.corpora.options import concat_options
from training.runs.arguments import parse_alone

if TYPE_CHECKING:
    import datasets

# The table's columns, and the keys of their figures in the report.
COLUMNS = {
    "questions": "questions", "unanswerable": "unanswerable", "same id": "duplicate_ids", "blank": "blank_questions",
    "not NFC": "not_nfc", "cut": "cut_questions", "golds": "golds", "too long": "long_golds",
    "paragraphs apart": "paragraphs_apart", "documents": "documents", "mean tokens": "mean_tokens",
    "longest": "longest_tokens",
}  # fmt: skip


@dataclass
class ReportArguments(DataArguments, SplitArguments):
    """Which rows, and the windows that they would be read in."""

    on_bad_span: str = field(default="drop", metadata=DataArguments.__dataclass_fields__["on_bad_span"].metadata)
    changes_dir: str = field(default="", metadata={"help": "Folder for the list of what repair_or_drop changed."})
    model_name_or_path: str = field(default="embedded", metadata={"help": "Whose tokenizer counts."})
    max_length: int = field(default=512, metadata={"help": "Tokens of a window, question included."})
    max_question_length: int = field(default=128, metadata={"help": "Longer questions are cut to this many tokens."})
    max_answer_length: int = field(default=30, metadata={"help": "Longest answer that is looked for, in tokens."})
    do_lowercase: bool = field(default=False, metadata={"help": "Lower-case question and document."})
    output: str | None = field(default=None, metadata={"help": "Also write the report to this JSON file."})

    def check(self) -> None:
        if self.max_answer_length < 1:
            raise UserError(f"--max_answer_length {self.max_answer_length} is below 1: give a whole number from 1 up")


def read_command_line(argv: list[str]) -> ReportArguments:
    """The flags of data_report.py; raises UserError for one that is unknown or out of range."""
    return parse_alone(
        ReportArguments,
        argv,
        prog="python -m training.data_report",
        description="Count what is in a data set, what is odd about it, and what a window cuts.",
        example="  python -m training.data_report --dataset sample --language all --split train",
    )


def report(arguments: ReportArguments) -> dict[str, dict[str, Any]]:
    """Language to what `training.scoring.survey.survey` counts, and `paragraphs_apart`."""
    from transformers import AutoTokenizer

    from conversion.named import resolve
    from training.qa.windows import Windower
    from training.scoring.survey import contexts_that_return, survey

    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(arguments.model_name_or_path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--model_name_or_path {arguments.model_name_or_path!r} has no tokenizer that can be loaded "
            f"({one_line(error)}): check the folder or the Hub id"
        ) from error
    windower = Windower(tokenizer, arguments.max_length, 0, arguments.max_question_length, arguments.do_lowercase)
    options = concat_options(arguments.dataset, arguments)
    rows = _load(arguments, options)
    paragraphs = rows
    if (options.nr_concats, options.questions) != (1, "all"):
        paragraphs = _load(arguments, replace(options, nr_concats=1, questions="all"))
    found = {}
    for language in dict.fromkeys(rows["language"]):
        apart = contexts_that_return(_of(paragraphs, language)["context"])
        found[language] = survey(_of(rows, language), windower, arguments.max_answer_length) | {
            "paragraphs_apart": apart
        }
    return found


def _load(arguments: ReportArguments, options: ConcatOptions) -> "datasets.Dataset":
    return load_qa(
        arguments.dataset,
        arguments.split,
        data_files=arguments.data_files,
        data_dir=arguments.data_dir,
        language=arguments.language,
        config=arguments.dataset_config,
        options=options,
        making=arguments,
        unique_ids=False,
    )


def _of(rows: "datasets.Dataset", language: str) -> "datasets.Dataset":
    return rows.select([number for number, code in enumerate(rows["language"]) if code == language])


def main() -> None:
    from foundation import tables

    arguments = read_command_line(sys.argv[1:])
    found = report(arguments)
    lines: list[list[Any]] = [[language, *(each[key] for key in COLUMNS.values())] for language, each in found.items()]
    print(tables.aligned(["language", *COLUMNS], lines))
    print()
    lengths = [
        [language, each["above"], each["to"], each["documents"]]
        for language, counted in found.items()
        for each in counted["by_length"]
    ]
    print(tables.aligned(["language", "tokens above", "up to", "documents"], lengths))
    if arguments.output:
        write_atomically(arguments.output, json.dumps(found, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
