"""Continue the MLM pre-training of a converted Longformer on long text, with the thesis's recipe as defaults.

    accelerate launch training/pretrain.py --model_name_or_path FacebookAI/xlm-roberta-base --max_pos 4096 \\
        --train_file_path wiki.train.raw --val_file_path wiki.valid.raw --do_train --do_eval --output_dir runs/xlm-long
    accelerate launch --config_file training/configs/multi_gpu.yaml training/pretrain.py \\
        --model_name_or_path xlm-long-4096 --dataset_name Salesforce/wikitext --dataset_config wikitext-103-raw-v1 \\
        --do_train --do_eval --bf16 --output_dir runs/xlm-long

A model that is no Longformer yet is converted first, into `<output_dir>/converted`. With neither --do_train nor
--do_eval both are done. The trained model lies in output_dir, its scores in pretrain_results.json.
"""

import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from foundation.cards import public_path
from foundation.cli import run
from training.pretraining.arguments import DEFAULTS, EXAMPLE, PretrainArguments
from training.runs.arguments import make_parser, parse, rewrite_thesis_flags

if TYPE_CHECKING:
    from transformers import TrainingArguments


def main() -> None:
    """Read the command line and pre-train."""
    parser = make_parser(
        PretrainArguments,
        prog="accelerate launch training/pretrain.py",
        description=str(__doc__).split("\n")[0],
        example=EXAMPLE,
        defaults=DEFAULTS,
    )
    arguments, training_args = parse(parser, sys.argv[1:])
    if not {"--do_train", "--do_eval"} & set(rewrite_thesis_flags(sys.argv[1:])):
        training_args.do_train = training_args.do_eval = True
    pretrain(arguments, training_args)


def pretrain(arguments: PretrainArguments, training_args: "TrainingArguments") -> dict[str, dict[str, float]]:
    """Score, train, score, save, push; returns {"before": metrics, "after": metrics} as far as they were asked for."""
    from transformers import set_seed

    from training.pretraining.masking import Masker
    from training.pretraining.model import load_model, load_tokenizer
    from training.pretraining.report import report, write_card
    from training.pretraining.text import open_text, pack_text
    from training.pretraining.trainer import MlmTrainer, freeze_global_projections
    from training.runs.checkpoints import MarkCheckpoints, identity, prepare_output_dir, train_and_save
    from training.runs.pushing import claim_push, publish

    logging.basicConfig(format="%(message)s", level=logging.INFO if training_args.should_log else logging.ERROR)
    arguments.check(training_args)
    push = claim_push(training_args)
    sources = open_text(arguments, training_args)
    tokenizer = load_tokenizer(arguments)
    masker = Masker(tokenizer, training_args.seed, arguments.mlm_probability)
    this_run = identity(training_args, entry_point="pretrain", **asdict(arguments))
    checkpoint = prepare_output_dir(training_args, this_run, arguments.overwrite_output_dir)
    training_args.remove_unused_columns = False

    train_text, eval_text = pack_text(arguments, training_args, tokenizer, *sources)
    set_seed(training_args.seed)
    model, tokenizer = load_model(arguments, training_args)
    freeze_global_projections(model)
    if eval_text is None and training_args.do_eval and training_args.do_train:
        print("note: no validation text was given, so nothing is scored: give --val_file_path", file=sys.stderr)
    if eval_text is None:
        training_args.eval_strategy, training_args.do_eval = "no", False
    training_args.eval_on_start = training_args.do_eval and checkpoint is None

    trainer = MlmTrainer(
        model,
        training_args,
        data_collator=masker,
        train_dataset=train_text,
        eval_dataset=eval_text,
        processing_class=tokenizer,
        callbacks=[MarkCheckpoints(this_run)],
        eval_sequences=arguments.max_eval_sequences,
        short_length=arguments.short_length,
    )
    if training_args.do_train and not trainer.follow and training_args.should_log:
        print(
            f"note: the global projections of {arguments.model_name_or_path!r} were trained apart from the local ones: "
            "they stay as they are",
            file=sys.stderr,
        )
    if training_args.do_train:
        train_and_save(trainer, checkpoint)
    # With --load_best_model_at_end the saved weights are of an earlier step. The figures have to be of that step.
    best = trainer.state.best_model_checkpoint if training_args.load_best_model_at_end else None
    step = int(best.rpartition("-")[2]) if best else trainer.state.global_step
    scored = {entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry}
    if training_args.do_eval and step not in scored:
        trainer.evaluate()
    results = report(trainer.state.log_history, step, this_run, training_args)
    if training_args.should_save:
        write_card(arguments, training_args, results, step)
        if push:
            print(
                publish(
                    training_args, f"MLM of {public_path(arguments.model_name_or_path)} at {arguments.max_pos} tokens"
                )
            )
    return results


if __name__ == "__main__":
    run(main)
