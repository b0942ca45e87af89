"""Score any question-answering checkpoint on any data set, in all its languages at once.

    accelerate launch training/score.py --model_name_or_path runs/squad --dataset xquad --language all \\
        --output_dir runs/squad/xquad
    accelerate launch training/score.py --model_name_or_path org/xlm-long-4096-squad --dataset xq3 --nr_concats 12 \\
        --language en,de,zh,ar --by length --output_dir runs/xq3-12

The official metric of the data set (`training.metrics`), beside it a language-aware one, and averages over languages.
Writes scores.json, scores.csv, plots and, for each language, predictions.json and nbest.json. A run that is cut short
goes on with the first language that is missing when the same command is given again.
"""

import argparse
from typing import Any

from foundation.cli import command_parser, run
from training.scoring.flags import add_data_flags, add_reading_flags, check_reading


def make_parser() -> argparse.ArgumentParser:
    """The command line of score.py."""
    parser = command_parser(
        description="Score a question-answering checkpoint, in every language of a data set.",
        example="accelerate launch training/score.py --model_name_or_path runs/squad --dataset xquad "
        "--language all --nr_concats 3 --output_dir runs/squad/xq3",
    )
    add = parser.add_argument
    add_data_flags(parser)
    add("--output_dir", required=True, help="folder for scores, predictions and plots")
    add("--overwrite_output_dir", action="store_true", help="remove what an earlier run left in --output_dir")
    add("--by", choices=("language", "length"), default="language", help="what the table and the plot show")
    add("--max_length", type=int, help="tokens of a window, question included (default: the model's length)")
    add_reading_flags(parser)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    check_reading(args)
    import torch
    from accelerate import PartialState

    from training.scoring.run import score_checkpoint

    # Without an accelerator the processes of a launch meet only when told that they are on CPUs.
    state = PartialState(cpu=args.use_cpu or not torch.accelerator.is_available())
    scores = score_checkpoint(args, state)
    if state.is_main_process:
        print(report(scores, args.by))


def report(scores: dict[str, Any], by: str) -> str:
    """The table for the screen: a line for each language and average, or for each language and context length."""
    from foundation import tables
    from training.scoring.run import language_table, length_table

    return tables.aligned(*(length_table(scores) if by == "length" else language_table(scores)))


if __name__ == "__main__":
    run(main)
