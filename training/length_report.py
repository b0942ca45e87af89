"""Does your data need long readings? Every document is read whole and in windows, by the same weights.

    python -m training.length_report --model_name_or_path space/adapter --data_files mine.json --output_dir runs/length
    python -m training.length_report --model_name_or_path runs/long --short_model runs/short --windows 512 1024 2048 \\
        --data_files mine.json --output_dir runs/length

Tells EM and F1 of each way, the gain of the whole reading with its 95% interval, and what each cost: of all questions,
by length of the document, by place of the answer and, where rows have `evidence`, by the tokens from its first to its
last. Ends in a verdict of one sentence. A run that is cut short goes on when the same command is given again.
"""

import sys

from foundation.cli import run
from training.runs.arguments import parse_alone
from training.scoring.arguments import LengthArguments

EXAMPLE = """  python -m training.length_report --model_name_or_path space/adapter --data_files mine.json \\
      --output_dir runs/length"""


def read_command_line(argv: list[str]) -> LengthArguments:
    """The flags of length_report.py; raises UserError for one that is unknown or out of range."""
    return parse_alone(
        LengthArguments,
        argv,
        prog="python -m training.length_report",
        description=str(__doc__).split("\n")[0],
        example=EXAMPLE,
    )


def main() -> None:
    arguments = read_command_line(sys.argv[1:])
    import torch
    from accelerate import PartialState

    from foundation import tables
    from training.scoring.length import cost_table, group_table, length_report

    state = PartialState(cpu=arguments.use_cpu or not torch.accelerator.is_available())
    report = length_report(arguments, state)
    if state.is_main_process:
        print(tables.aligned(*group_table(report)), tables.aligned(*cost_table(report)), sep="\n\n", end="\n\n")
        if report["longer_than_whole"]:
            print(
                f"note: {report['longer_than_whole']} of {report['questions']} documents are longer than "
                f"{report['whole_tokens']:,} tokens and were read in windows of that"
            )
        print(report["verdict"])


if __name__ == "__main__":
    run(main)
