"""The flags that score.py and length_report.py share: which questions, and how a model reads their documents."""

import argparse
from dataclasses import fields

from foundation.cli import UserError
from hub_datasets.concat import ON_BAD_SPAN
from training.corpora.generated import MakingArguments


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """The model, and the questions that it is asked."""
    add = parser.add_argument
    add("--model_name_or_path", required=True, help="checkpoint with a QA head, or an adapter: a folder or a Hub id")
    add("--adapter", help="LoRA adapter to merge into the model")
    add("--revision", help="branch, tag or commit of the model on the Hub")
    add(
        "--dataset",
        default="xquad",
        help="squad, squad_v2, sq3, xquad, xq3, mlqa, trivia_qa, sample, terms, babi_far, file or a Hub id",
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
    for each in fields(MakingArguments):
        add(f"--{each.name}", type=int if "int" in str(each.type) else str, help=each.metadata["help"])
    add("--max_eval_samples", type=int, help="score this many questions a language, evenly spread")


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """How the model reads a document, and on what."""
    add = parser.add_argument
    add("--doc_stride", type=int, default=128, help="document tokens that neighbouring windows share")
    add("--max_question_length", type=int, default=128, help="longer questions are cut to this many tokens")
    add("--batch_size", type=int, default=8, help="windows a batch")
    add("--n_best", type=int, default=20, help="answers kept for each question")
    add("--max_answer_length", type=int, default=30, help="longest answer, in tokens")
    add("--null_threshold", type=float, help="squad_v2: margin of 'no answer' (default: tuned by finetune.py, or 0)")
    add("--do_lowercase", action="store_true", help="lower-case question and document")
    add("--native_attention", action="store_true", help="transformers' own Longformer attention: slower, same answers")
    add("--bf16", action="store_true", help="run the model under bfloat16 autocast")
    add("--use_cpu", action="store_true", help="stay on the CPU although there is an accelerator")


def check_reading(args: argparse.Namespace) -> None:
    """What can be refused before anything heavy is imported."""
    for name in ("batch_size", "n_best", "max_answer_length", "max_eval_samples"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value} is below 1: give a whole number from 1 up")
