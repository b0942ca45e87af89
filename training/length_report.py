"""Does your data need long readings? Every document is read whole and in windows, by the same weights.

    python -m training.length_report --model_name_or_path space/adapter --data_files mine.json --output_dir runs/length
    python -m training.length_report --model_name_or_path runs/long --short_model runs/short --windows 512 1024 2048 \\
        --data_files mine.json --output_dir runs/length

Tells EM and F1 of each way, the gain of the whole reading with its 95% interval, and what each cost: of all questions,
by length of the document, by place of the answer and, where rows have `evidence`, by the tokens from its first to its
last. Ends in a verdict of one sentence. A run that is cut short goes on when the same command is given again.
"""

import argparse

from foundation.cli import UserError, command_parser, run
from training.scoring.flags import add_data_flags, add_reading_flags, check_reading


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Say whether reading whole documents pays on these questions, and where.",
        example="python -m training.length_report --model_name_or_path space/adapter --data_files mine.json "
        "--output_dir runs/length",
    )
    add = parser.add_argument
    add_data_flags(parser)
    parser.set_defaults(dataset="file")
    add("--output_dir", required=True, help="folder for the report, a table, a plot and the answers")
    add("--overwrite_output_dir", action="store_true", help="remove what an earlier run left in --output_dir")
    add("--windows", type=int, nargs="+", default=[512], help="tokens of the windows that whole reading is set against")
    add("--short_model", help="a fine-tuned short model or adapter (folder or Hub id) that reads its own length")
    add("--max_length", type=int, help="tokens of the whole reading at most (default: the model's length)")
    add("--draws", type=int, default=10_000, help="samples of the questions for the intervals")
    add("--seed", type=int, default=42, help="of the samples")
    add_reading_flags(parser)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    check_reading(args)
    if args.draws < 1:
        raise UserError(f"--draws {args.draws} is below 1: give some thousands")
    if len(set(args.windows)) < len(args.windows):
        raise UserError(f"--windows {' '.join(map(str, args.windows))} names a size twice: give each once")
    import torch
    from accelerate import PartialState

    from foundation import tables
    from training.scoring.length import cost_table, group_table, length_report

    state = PartialState(cpu=args.use_cpu or not torch.accelerator.is_available())
    report = length_report(args, state)
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
