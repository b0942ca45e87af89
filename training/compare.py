"""Is the difference between two scores more than chance? Two runs of score.py on the same questions, side by side.

    python -m training.compare --scores runs/x1 runs/x3
    python -m training.compare --scores runs/long runs/short --language en,de --data_dir data/xquad

The interval that is printed is that of a paired bootstrap over the questions (`training.scoring.bootstrap`). The runs
may differ in anything but their questions: the model, how it reads, or the documents (XQ3 at 1 paragraph and at 3 asks
the same).
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.cli import UserError, run, short_repr
from foundation.files import write_atomically
from training.runs.arguments import parse_alone
from training.scoring.bootstrap import DRAWS, paired_bootstrap
from training.scoring.gold import gold_answers
from training.scoring.metrics import NORMALISERS, check_metric, question_scores, read_predictions
from training.scoring.record import SCORES, read_scores


@dataclass
class CompareArguments:
    """Which two runs, on which questions, and how sure the interval is."""

    scores: list[str] = field(metadata={"help": "Two output folders of score.py.", "metavar": "DIR"})
    language: str | None = field(default=None, metadata={"help": "With commas; all that both runs have if not given."})
    metric: str = field(default="squad", metadata={"help": "How a question is scored.", "choices": tuple(NORMALISERS)})
    data_dir: str | None = field(
        default=None, metadata={"help": "Where the official files are now, if not where they were scored."}
    )
    draws: int = field(default=DRAWS, metadata={"help": "Samples of the questions."})
    seed: int = field(default=42, metadata={"help": "Of the samples."})
    output: str | None = field(default=None, metadata={"help": "Also write the figures to this JSON file."})

    def check(self) -> None:
        if len(self.scores) != 2:
            raise UserError(f"--scores takes two output folders of score.py, and {len(self.scores)} came: give two")
        if self.draws < 1:
            raise UserError(f"--draws {self.draws} is below 1: give some thousands")


def read_command_line(argv: list[str]) -> CompareArguments:
    """The flags of compare.py; raises UserError for one that is unknown or out of range."""
    return parse_alone(
        CompareArguments,
        argv,
        prog="python -m training.compare",
        description="Compare two runs of score.py question by question.",
        example="  python -m training.compare --scores runs/x1 runs/x3",
    )


def compare(arguments: CompareArguments) -> dict[str, dict[str, float]]:
    """Language to `questions`, the mean F1 of both in percent, their `difference`, and its 95% interval `low`, `high`.

    Raises:
        UserError: a folder without scores, no common language, or other questions.
    """
    folders = arguments.scores
    runs = [read_scores(Path(folder) / SCORES, "--scores") for folder in folders]
    common = [name for name in runs[0]["languages"] if name in runs[1]["languages"]]
    languages = arguments.language.split(",") if arguments.language else common
    missing = [name for name in languages if name not in common]
    if missing or not common:
        raise UserError(f"--language {','.join(missing) or 'all'!r} is not in both of {folders}: score it in both")
    generator = np.random.default_rng(arguments.seed)
    result = {}
    for language in languages:
        first, second = (_f1(Path(f), each["run"], language, arguments) for f, each in zip(folders, runs, strict=True))
        if first.keys() != second.keys():
            raise UserError(
                f"--scores {folders[0]!r} and {folders[1]!r} answer other questions in {language!r} ({len(first)} and "
                f"{len(second)}): score both with the same --questions and --max_eval_samples"
            )
        scores = [[each[name] for name in first] for each in (first, second)]
        result[language] = paired_bootstrap(scores[0], scores[1], generator, arguments.draws)
    return result


def _f1(folder: Path, scored: dict[str, Any], language: str, arguments: CompareArguments) -> dict[str, float]:
    """Question id to F1 (0 to 1), from the predictions of a run and the questions that it was made of."""
    from training.scoring.arguments import ScoreArguments
    from training.scoring.run import languages_to_score

    check_metric(arguments.metric, language.split(".")[0])
    asked = ScoreArguments.of_run(scored, folder)
    asked.data_dir = arguments.data_dir or asked.data_dir
    questions = gold_answers(languages_to_score(asked)[language]())
    inside = folder / language / "predictions.json"
    path = inside if inside.is_file() else folder / "predictions.json"
    predictions = read_predictions(str(path))
    _, f1 = question_scores(arguments.metric, questions, predictions, language.split(".")[0])
    return {name: score for (name, _), score in zip(questions, f1, strict=True)}


def main() -> None:
    from foundation import tables

    arguments = read_command_line(sys.argv[1:])
    result = compare(arguments)
    print(f"F1 of {short_repr(arguments.scores[0])} less that of {short_repr(arguments.scores[1])}")
    header = ["language", "questions", "first", "second", "difference", "95% from", "to"]
    print(tables.aligned(header, [[name, *each.values()] for name, each in result.items()]))
    if arguments.output:
        write_atomically(arguments.output, json.dumps({"scores": arguments.scores, **result}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
