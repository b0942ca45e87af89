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

from foundation.cli import UserError, command_parser, run
from hub_datasets.concat import ON_BAD_SPAN


def make_parser() -> argparse.ArgumentParser:
    """The command line of score.py."""
    parser = command_parser(
        description="Score a question-answering checkpoint, in every language of a data set.",
        example="accelerate launch training/score.py --model_name_or_path runs/squad --dataset xquad "
        "--language all --nr_concats 3 --output_dir runs/squad/xq3",
    )
    add = parser.add_argument
    add("--model_name_or_path", required=True, help="checkpoint with a QA head, or an adapter: a folder or a Hub id")
    add("--adapter", help="LoRA adapter to merge into the model")
    add("--revision", help="branch, tag or commit of the model on the Hub")
    add(
        "--dataset", default="xquad", help="squad, squad_v2, sq3, xquad, xq3, mlqa, trivia_qa, sample, file or a Hub id"
    )
    add("--dataset_config", help="configuration of a data set on the Hub")
    add("--split", default="validation", help="validation, test (mlqa) or train")
    add("--language", help="one, several with commas, or all; mlqa: de.en is a German document, English question")
    add("--data_files", help="SQuAD-format file or pattern to score on (--dataset file)")
    add("--data_dir", help="folder of the data set's official files; without it the Hub is asked")
    add("--nr_concats", type=int, help="paragraphs joined into one context (default: 3 for sq3 and xq3, else 1)")
    add("--questions", choices=("first", "all"), help="of each paragraph (default: first for sq3 and xq3, else all)")
    add("--within_articles", action="store_true", help="join only paragraphs of one article")
    add("--on_bad_span", default="error", choices=ON_BAD_SPAN, help="for an answer that is not at its answer_start")
    add("--columns", help="other names of a file's columns, THEIRS=OURS with commas: question_id=id,body=context")
    add("--output_dir", required=True, help="folder for scores, predictions and plots")
    add("--overwrite_output_dir", action="store_true", help="remove what an earlier run left in --output_dir")
    add("--by", choices=("language", "length"), default="language", help="what the table and the plot show")
    add("--max_length", type=int, help="tokens of a window, question included (default: the model's length)")
    add("--doc_stride", type=int, default=128, help="document tokens that neighbouring windows share")
    add("--max_question_length", type=int, default=128, help="longer questions are cut to this many tokens")
    add("--batch_size", type=int, default=8, help="windows a batch")
    add("--n_best", type=int, default=20, help="answers kept for each question")
    add("--max_answer_length", type=int, default=30, help="longest answer, in tokens")
    add("--max_eval_samples", type=int, help="score this many questions a language, evenly spread")
    add("--null_threshold", type=float, help="squad_v2: margin of 'no answer' (default: tuned by finetune.py, or 0)")
    add("--do_lowercase", action="store_true", help="lower-case question and document")
    add("--native_attention", action="store_true", help="transformers' own Longformer attention: slower, same answers")
    add("--bf16", action="store_true", help="run the model under bfloat16 autocast")
    add("--use_cpu", action="store_true", help="stay on the CPU although there is an accelerator")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    _check(args)
    import torch
    from accelerate import PartialState

    from training.scoring.run import score_checkpoint

    # Without an accelerator the processes of a launch meet only when told that they are on CPUs.
    state = PartialState(cpu=args.use_cpu or not torch.accelerator.is_available())
    scores = score_checkpoint(args, state)
    if state.is_main_process:
        print(report(scores, args.by))


def _check(args: argparse.Namespace) -> None:
    """What can be refused before anything heavy is imported."""
    for name in ("batch_size", "n_best", "max_answer_length", "max_eval_samples"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value} is below 1: give a whole number from 1 up")


def report(scores: dict[str, Any], by: str) -> str:
    """The table for the screen: a line for each language and average, or for each language and context length."""
    from foundation import tables
    from training.scoring.run import language_table, length_table

    return tables.aligned(*(length_table(scores) if by == "length" else language_table(scores)))


if __name__ == "__main__":
    run(main)
