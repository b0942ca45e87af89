"""Is the difference between two scores more than chance? Two runs of score.py on the same questions, side by side.

    python -m training.compare --scores runs/x1 runs/x3
    python -m training.compare --scores runs/long runs/short --language en,de --data_dir data/xquad

The interval that is printed is that of a paired bootstrap over the questions (`training.scoring.bootstrap`). The runs
may differ in anything but their questions: the model, how it reads, or the documents (XQ3 at 1 paragraph and at 3 asks
the same).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from foundation.cli import UserError, command_parser, run, short_repr
from foundation.files import write_atomically
from training.scoring.bootstrap import paired_bootstrap
from training.scoring.gold import gold_answers
from training.scoring.metrics import NORMALISERS, check_metric, question_scores, read_predictions
from training.scoring.record import SCORES, read_scores


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Compare two runs of score.py question by question.",
        example="python -m training.compare --scores runs/x1 runs/x3",
    )
    parser.add_argument("--scores", nargs=2, required=True, metavar="DIR", help="two output folders of score.py")
    parser.add_argument("--language", help="languages, with commas (default: all that both runs have)")
    parser.add_argument("--metric", choices=list(NORMALISERS), default="squad", help="how a question is scored")
    parser.add_argument("--data_dir", help="where the official files are now, if not where they were scored")
    parser.add_argument("--draws", type=int, default=10_000, help="samples of the questions")
    parser.add_argument("--seed", type=int, default=42, help="of the samples")
    parser.add_argument("--output", help="also write the figures to this JSON file")
    return parser


def compare(folders: list[str], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Language to `questions`, the mean F1 of both in percent, their `difference`, and its 95% interval `low`, `high`.

    Raises:
        UserError: a folder without scores, no common language, or other questions.
    """
    runs = [read_scores(Path(folder) / SCORES, "--scores") for folder in folders]
    common = [name for name in runs[0]["languages"] if name in runs[1]["languages"]]
    languages = args.language.split(",") if args.language else common
    missing = [name for name in languages if name not in common]
    if missing or not common:
        raise UserError(f"--language {','.join(missing) or 'all'!r} is not in both of {folders}: score it in both")
    generator = np.random.default_rng(args.seed)
    result = {}
    for language in languages:
        first, second = (_f1(Path(f), held, language, args) for f, held in zip(folders, runs, strict=True))
        if first.keys() != second.keys():
            raise UserError(
                f"--scores {folders[0]!r} and {folders[1]!r} answer other questions in {language!r} ({len(first)} and "
                f"{len(second)}): score both with the same --questions and --max_eval_samples"
            )
        scores = [[each[name] for name in first] for each in (first, second)]
        result[language] = paired_bootstrap(scores[0], scores[1], generator, args.draws)
    return result


def _f1(folder: Path, held: dict[str, Any], language: str, args: argparse.Namespace) -> dict[str, float]:
    """Question id to F1 (0 to 1), from the predictions of a run and the questions that it was made of."""
    from training.scoring.arguments import ScoreArguments
    from training.scoring.run import languages_to_score

    check_metric(args.metric, language.split(".")[0])
    asked = ScoreArguments.of_run(held["run"], folder)  # where changes that --on_bad_span makes are listed
    asked.data_dir = args.data_dir or asked.data_dir
    questions = gold_answers(languages_to_score(asked)[language]())
    inside = folder / language / "predictions.json"
    path = inside if inside.is_file() else folder / "predictions.json"
    predictions = read_predictions(str(path))
    _, f1 = question_scores(args.metric, questions, predictions, language.split(".")[0])
    return {name: score for (name, _), score in zip(questions, f1, strict=True)}


def main() -> None:
    from foundation import tables

    args = make_parser().parse_args()
    if args.draws < 1:
        raise UserError(f"--draws {args.draws} is below 1: give some thousands")
    result = compare(args.scores, args)
    print(f"F1 of {short_repr(args.scores[0])} less that of {short_repr(args.scores[1])}")
    header = ["language", "questions", "first", "second", "difference", "95% from", "to"]
    print(tables.aligned(header, [[name, *each.values()] for name, each in result.items()]))
    if args.output:
        write_atomically(args.output, json.dumps({"scores": args.scores, **result}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
