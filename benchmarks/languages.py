"""F1 and exact match of the shipped adapter by language, as a plot and as one line.

    python -m benchmarks.languages
    python -m benchmarks.languages --scores runs/adapter/scores.json --output runs/languages.png

Draws what training/score.py measured and training/pack_adapter.py put beside the adapter; measures nothing itself.
"""

from pathlib import Path

from foundation.cli import UserError, command_parser, run


def by_f1(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The languages, the best first."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1]["f1"], item[0])))


def line(scores: dict[str, dict[str, float]]) -> str:
    """F1 of every language in one line."""
    return ", ".join(f"{language} {score['f1']:.1f}" for language, score in by_f1(scores).items())


def main() -> None:
    parser = command_parser(
        description="Draw the adapter's XQuAD scores by language.",
        example="python -m benchmarks.languages --scores space/adapter/scores.json",
    )
    parser.add_argument("--scores", type=Path, default=Path("space/adapter/scores.json"), help="of pack_adapter.py")
    parser.add_argument("--output", type=Path, default=Path("runs/languages.png"), help="the plot")
    arguments = parser.parse_args()
    from foundation import plots
    from training.scoring.record import of_xquad, read_scores

    scores = of_xquad(read_scores(arguments.scores, "--scores"))
    if scores is None:
        raise UserError(f"--scores {str(arguments.scores)!r} is not of XQuAD: give pack_adapter's file, or score.py's")
    ordered = by_f1(scores)
    series = {
        name: [score[key] for score in ordered.values()] for name, key in (("F1", "f1"), ("exact match", "exact_match"))
    }
    plots.bars(arguments.output, "XQuAD, the shipped adapter", list(ordered), series)
    print(f"F1 by language: {line(scores)}")


if __name__ == "__main__":
    run(main)
