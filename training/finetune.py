"""Fine-tune any encoder for extractive question answering, on documents of any length.

    accelerate launch --config_file training/configs/cpu.yaml training/finetune.py \\
        --model_name_or_path embedded --dataset squad --do_train --do_eval --output_dir runs/squad
    accelerate launch training/finetune.py --model_name_or_path org/xlm-long-4096 --dataset sq3 --nr_concats 3 \\
        --max_length 2048 --num_train_epochs 3 --learning_rate 3e-5 --do_train --do_eval --output_dir runs/sq3
    accelerate launch training/finetune.py --model_name_or_path runs/adapter --dataset squad:8000 terms:2000 file \\
        --data_files '*.mlqa.json:300' fr.piaf.json:2000 --cross_language 0.4 --do_train --output_dir runs/many

Longformers read the question with global attention. Documents longer than --max_length become overlapping windows,
in training too. --long_fraction and --unanswerable_fraction turn single paragraphs into documents of mixed lengths,
and --distil_length teaches the model to read them as it reads short ones. An adapter that is given is trained further.
"""

import logging
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.cli import UserError, run
from training.finetuning.arguments import DEFAULTS, EXAMPLE, FinetuneArguments
from training.runs.arguments import make_parser, parse

if TYPE_CHECKING:
    from transformers import TrainingArguments


def main() -> None:
    """Read the command line and fine-tune."""
    parser = make_parser(
        FinetuneArguments,
        prog="accelerate launch training/finetune.py",
        description=str(__doc__).split("\n")[0],
        example=EXAMPLE,
        defaults=DEFAULTS,
    )
    arguments, training_args = parse(parser, sys.argv[1:])
    if not (training_args.do_train or training_args.do_eval):
        raise UserError("nothing to do: give --do_train, --do_eval or both")
    arguments.check(training_args)
    finetune(arguments, training_args)


def finetune(arguments: FinetuneArguments, training_args: "TrainingArguments") -> dict[str, float]:
    """Load, train, evaluate, save, push; returns the scores of the last evaluation (empty without --do_eval)."""
    from transformers import EarlyStoppingCallback, set_seed

    from training.finetuning.batches import TrainCollator
    from training.finetuning.card import write_card
    from training.finetuning.distillation import ShortReader
    from training.finetuning.reading import local_files
    from training.finetuning.rows import load_rows
    from training.finetuning.teacher import load_teacher
    from training.finetuning.trainer import QATrainer
    from training.finetuning.windows import make_windows
    from training.qa.model import add_lora, check_max_length, freeze_all_but, load_qa_model, reads_at_most
    from training.qa.second_look import places_of
    from training.qa.windows import Windower
    from training.runs.checkpoints import MarkCheckpoints, identity, prepare_output_dir, train_and_save
    from training.runs.pushing import claim_push, publish
    from training.scoring.report import save_evaluation, score_answers
    from training.scoring.survey import say_what_is_cut

    logging.basicConfig(format="%(message)s", level=logging.INFO if training_args.should_log else logging.ERROR)
    push = claim_push(training_args)
    files = local_files(arguments)
    this_run = identity(training_args, entry_point="finetune", source_files=files, **asdict(arguments))
    checkpoint = prepare_output_dir(training_args, this_run, arguments.overwrite_output_dir)
    training_args.remove_unused_columns = False

    set_seed(training_args.seed)
    model, tokenizer = load_qa_model(
        arguments.model_name_or_path,
        revision=arguments.revision,
        fresh_head=training_args.do_train,
        fast_attention=arguments.fast_attention,
        dropout=arguments.dropout,
        train_adapter=training_args.do_train,
        second_look=arguments.second_look,
    )
    max_length = check_max_length(model, arguments.max_length)
    if arguments.random_positions and model.config.model_type != "longformer":
        raise UserError(
            f"--random_positions is for Longformers, and {arguments.model_name_or_path!r} is of type "
            f"{model.config.model_type}: leave it out"
        )
    if training_args.do_train and arguments.look_share != FinetuneArguments.look_share and not places_of(model):
        raise UserError(
            f"--look_share {arguments.look_share} is of a second look, and this model reads once: give "
            "--second_look too"
        )
    if training_args.do_train and arguments.distil_length and places_of(model) and arguments.look_share == 1:
        raise UserError(
            f"--distil_length {arguments.distil_length} acts in updates without a second look, and --look_share 1 "
            "leaves none: lower it"
        )
    windower = Windower(
        tokenizer, max_length, arguments.doc_stride, arguments.max_question_length, arguments.do_lowercase
    )
    rows = load_rows(arguments, training_args)
    if training_args.should_log:
        for each, what in ((rows.train, "the training"), (rows.evaluation, "the evaluation")):
            if each is not None:
                say_what_is_cut(each, windower, what)
    train_windows = None
    if rows.train is not None:
        logging.info("%s", rows.shares)
        train_windows = make_windows(arguments, training_args, windower, rows.train, rows.at_hand)
    if training_args.do_train and arguments.freeze_word_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if training_args.do_train and arguments.lora_r:
        model = add_lora(model, arguments)
    if training_args.do_train and arguments.train_only:
        freeze_all_but(model, arguments.train_only)
    short_reader = None
    if training_args.do_train and arguments.distil_length:
        check_max_length(model, arguments.distil_length, flag="--distil_length")
        short_reader = ShortReader(model, tokenizer.pad_token_id, arguments.distil_length)
    teacher = None
    if training_args.do_train and arguments.teacher:
        teacher = load_teacher(arguments.teacher, model, tokenizer, arguments.fast_attention)

    trainer = QATrainer(
        model,
        training_args,
        data_collator=TrainCollator(
            model.config, tokenizer.pad_token_id, reads_at_most(model), arguments.random_positions
        ),
        train_dataset=train_windows,
        eval_dataset=rows.evaluation,
        processing_class=tokenizer,
        callbacks=[MarkCheckpoints(this_run)],
        windower=windower,
        score=partial(score_answers, arguments.scored_as),
        predict_options={
            "batch_size": training_args.per_device_eval_batch_size,
            "n_best": arguments.n_best,
            "max_answer_length": arguments.max_answer_length,
        },
        short_reader=short_reader,
        distil_weight=arguments.distil_weight,
        distil_part=arguments.distil_part,
        teacher=teacher,
        teacher_weight=arguments.teacher_weight,
        look_share=arguments.look_share,
    )
    if arguments.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(arguments.early_stopping_patience))
    if training_args.do_train:
        trainer.save_metrics("train", train_and_save(trainer, checkpoint))
    scores = trainer.evaluate() if training_args.do_eval else {}
    if training_args.should_save:
        if scores:
            save_evaluation(Path(str(training_args.output_dir)), trainer.answers, trainer.texts, scores)
        write_card(arguments, training_args, trainer, max_length, scores, rows.shares)
        if push:
            print(publish(training_args, "Fine-tuned model and its card"))
    return scores


if __name__ == "__main__":
    run(main)
