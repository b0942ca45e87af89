"""Score any question-answering checkpoint on any data set, in all its languages at once.

    accelerate launch training/score.py --model_name_or_path runs/squad --dataset xquad --language all \\
        --output_dir runs/squad/xquad
    accelerate launch training/score.py --model_name_or_path org/xlm-long-4096-squad --dataset xq3 --nr_concats 12 \\
        --language en,de,zh,ar --by length --output_dir runs/xq3-12

The official metric of the data set (`training.metrics`), beside it a language-aware one, and averages over languages.
Writes scores.json, scores.csv, plots and, for each language, predictions.json and nbest.json. A run that is cut short
goes on with the first language that is missing when the same command is given again.
"""

import sys

from foundation.cli import run
from training.runs.arguments import parse_alone
from training.scoring.arguments import ScoreArguments

EXAMPLE = """  accelerate launch training/score.py --model_name_or_path runs/squad --dataset xquad --language all \\
      --nr_concats 3 --output_dir runs/squad/xq3"""


def read_command_line(argv: list[str]) -> ScoreArguments:
    """The flags of score.py; raises UserError for one that is unknown or out of range."""
    return parse_alone(
        ScoreArguments,
        argv,
        prog="accelerate launch training/score.py",
        description=str(__doc__).split("\n")[0],
        example=EXAMPLE,
    )


def main() -> None:
    arguments = read_command_line(sys.argv[1:])
    import torch
    from accelerate import PartialState

    from training.scoring.display import screen_table
    from training.scoring.run import score_checkpoint

    # Without an accelerator the processes find each other only if they are told that they run on CPUs.
    state = PartialState(cpu=arguments.use_cpu or not torch.accelerator.is_available())
    scores = score_checkpoint(arguments, state)
    if state.is_main_process:
        print(screen_table(scores, arguments.by))


if __name__ == "__main__":
    run(main)
