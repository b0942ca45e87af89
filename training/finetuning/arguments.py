"""The flags of finetune.py beside those that pretrain.py has too."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.cli import UserError
from training.corpora.arguments import DATASETS
from training.qa.arguments import QuestionArguments
from training.runs.arguments import SharedArguments

from .distillation import PARTS
from .sources import FILES, Source, check_flags, files_of, sources_of

if TYPE_CHECKING:
    from transformers import TrainingArguments

EXAMPLE = """  accelerate launch training/finetune.py --model_name_or_path embedded-long --dataset sample \\
      --language all --lora_r 16 --do_train --do_eval --max_steps 20 --output_dir runs/sample"""
DEFAULTS = {
    "learning_rate": 3e-5,
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "per_device_eval_batch_size": 8,
    "logging_steps": 50,
    "logging_nan_inf_filter": False,  # else a loss of NaN is logged as 0
    "save_strategy": "epoch",
    "report_to": "none",
    "output_dir": "runs/finetune",
}
# The names that --metric_for_best_model may have. An evaluation gives no loss. Whether the rows give this score is
# checked when they are read.
SCORES = r"(eval_)?((HasAns_|NoAns_|best_)?(exact|f1)|exact_match|f1_.+)"


@dataclass
class FinetuneArguments(QuestionArguments, SharedArguments):
    """What to train on, what to evaluate on, and how documents become windows."""

    dataset: list[str] = field(
        default_factory=lambda: ["squad"],
        metadata={
            "help": f"One or more of {DATASETS} Each may have a cap of questions a language, and options, "
            "terms:2000:language=all:tokens=1024."
        },
    )
    data_files: list[str] | None = field(
        default=None,
        metadata={
            "help": "Files and patterns, each with a cap of questions a file if you like, fr.piaf.json:2000; the "
            "language is read off the name. Beside them, --dataset may name sources of its own."
        },
    )
    cross_language: float = field(
        default=0.0,
        metadata={"help": "Share of the questions at hand in several languages that are asked in another one."},
    )
    eval_dataset: str | None = field(
        default=None, metadata={"help": "Data set to evaluate on; --dataset if not given."}
    )
    eval_data_files: list[str] | None = field(
        default=None,
        metadata={
            "help": "Files and patterns to evaluate on, each with a cap if you like; what a cap draws hangs on no seed."
        },
    )
    eval_background: str | None = field(
        default=None, metadata={"help": "terms, babi_far: the same for the evaluation; XQuAD's file if not given."}
    )
    eval_language: str | None = field(
        default=None, metadata={"help": "The same for the evaluation; --language if not given."}
    )
    held_out_articles: int = field(
        default=0,
        metadata={
            "help": "Keep the last N articles of each source out of training and evaluate on them (no --eval_dataset "
            "then)."
        },
    )
    negatives: int = field(
        default=1, metadata={"help": "Windows without the answer that are kept of each long document."}
    )
    long_fraction: float = field(
        default=0.0, metadata={"help": "Share of examples whose paragraph is joined with others."}
    )
    max_paragraphs: int = field(
        default=24, metadata={"help": "Such examples have 2 to this many paragraphs, log-uniformly."}
    )
    same_article: float = field(
        default=0.5, metadata={"help": "Share of long examples whose other paragraphs come from the same article."}
    )
    unanswerable_fraction: float = field(
        default=0.0, metadata={"help": "Share of examples that are paired with text that does not answer them."}
    )
    documents_per_question: int = field(
        default=1, metadata={"help": "How often each question comes, with other paragraphs each time (one epoch)."}
    )
    random_positions: float = field(
        default=0.0, metadata={"help": "Share of windows put at a random offset of a Longformer's position table."}
    )
    distil_length: int = field(
        default=0,
        metadata={"help": "Also match the starting model's reading of a part in windows of this many tokens."},
    )
    distil_part: str = field(
        default="paragraph",
        metadata={"help": "That part: the answer's paragraph, read alone, or the whole document.", "choices": PARTS},
    )
    distil_weight: float = field(default=1.0, metadata={"help": "Weight of that beside the answers' loss."})
    teacher: str | None = field(
        default=None,
        metadata={"help": "A reader whose answers, where they are right, are matched beside the gold ones."},
    )
    teacher_weight: float = field(default=1.0, metadata={"help": "Weight of that beside the answers' loss."})
    look_share: float = field(
        default=0.5, metadata={"help": "Share of the updates that learn from the second look, with --second_look."}
    )
    num_proc: int = field(default=1, metadata={"help": "Processes that make the training windows."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on this many random examples."})
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after this many evaluations without a better metric_for_best_model."}
    )
    dropout: float | None = field(
        default=None, metadata={"help": "Dropout everywhere in the model; its configuration's own if not given."}
    )
    train_only: str | None = field(
        default=None,
        metadata={"help": "Train only parameters whose names have this in them, such as _global; all if not given."},
    )
    freeze_word_embeddings: bool = field(default=False, metadata={"help": "Leave the word embeddings as they are."})
    lora_r: int = field(
        default=0, metadata={"help": "Rank of a new LoRA adapter; 0 trains the whole model, or the adapter given."}
    )
    lora_alpha: int | None = field(
        default=None, metadata={"help": "LoRA's scale times its rank; 2 x lora_r if not given."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout before LoRA's matrices."})

    @cached_property
    def sources(self) -> list[Source]:
        """What --dataset and --data_files name; UserError where they name nothing."""
        return sources_of(self.dataset, self.data_files)

    @property
    def scored_as(self) -> str:
        """The data set whose metric is taken."""
        if self.eval_dataset is not None:
            return self.eval_dataset
        only = self.sources[0] if len(self.sources) == 1 else Source(FILES)
        return FILES if self.eval_data_files and only.is_generated else only.dataset

    @property
    def own_evaluation(self) -> bool:
        """Whether other data than --dataset's is named for the evaluation."""
        return self.eval_dataset is not None or self.eval_data_files is not None

    @cached_property
    def evaluated(self) -> Source | None:
        """What --eval_dataset and --eval_data_files name; UserError where they name nothing, or not together."""
        if self.eval_data_files is None:
            return Source(self.scored_as) if self.own_evaluation else None
        reader = Source(self.scored_as)
        if reader.is_generated or Path(reader.dataset).is_file():
            raise UserError(f"--eval_dataset {reader.dataset!r} reads no --eval_data_files: leave one of them out")
        return files_of(reader, self.eval_data_files, "--eval_data_files")

    def check(self, training_args: "TrainingArguments") -> None:
        """Refuse what would fail, or do nothing, after the training."""
        lowest = {"n_best": 1, "max_answer_length": 1, "max_train_samples": 1, "max_eval_samples": 1, "negatives": 0,
                  "documents_per_question": 1, "num_proc": 1,
                  "held_out_articles": 0, "lora_r": 0, "distil_length": 0, "early_stopping_patience": 1}  # fmt: skip
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} {value} is below {least}: give a whole number from {least} up")
        for name in ("random_positions", "lora_dropout", "dropout", "cross_language", "look_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"--{name} {value} is not a share: give a number from 0 to 1")
        parts = {"lora_alpha": "lora_r", "lora_dropout": "lora_r", "distil_part": "distil_length",
                 "distil_weight": "distil_length", "teacher_weight": "teacher"}  # fmt: skip
        wholes = {"lora_r": "a new adapter", "distil_length": "the distillation", "teacher": "a teacher"}
        for name, whole in parts.items():
            if getattr(self, name) != getattr(type(self), name) and not getattr(self, whole):
                raise UserError(f"--{name} {getattr(self, name)} is of {wholes[whole]}: give --{whole} too")
        if self.documents_per_question > 1 and not (
            self.long_fraction or self.unanswerable_fraction or self.cross_language
        ):
            raise UserError(
                f"--documents_per_question {self.documents_per_question} would draw the same document each time: give "
                "--long_fraction or --unanswerable_fraction too, or raise --num_train_epochs"
            )
        check_flags(self.sources, self, self.evaluated)
        if self.held_out_articles and self.eval_language is not None and not self.own_evaluation:
            raise UserError(
                f"--eval_language {self.eval_language!r} has no part in --held_out_articles, which are in the language "
                "of the training: leave it out, or give --eval_dataset"
            )
        if training_args.train_sampling_strategy == "batch_rebalance":
            raise UserError("--train_sampling_strategy batch_rebalance is not made for windows: give group_by_length")
        if training_args.label_smoothing_factor:
            raise UserError("--label_smoothing_factor has no part in the loss over spans: leave it out")
        self._check_best(training_args)

    def _check_best(self, training_args: "TrainingArguments") -> None:
        """Whatever compares evaluations needs some, and a score in which more is better."""
        metric = training_args.metric_for_best_model
        if metric is not None and not re.fullmatch(SCORES, metric):
            raise UserError(
                f"--metric_for_best_model {metric!r} (where none is given, transformers takes 'loss') is no score of "
                "an evaluation by answers: give f1 or exact_match"
            )
        compares = self.early_stopping_patience is not None and "--early_stopping_patience"
        compares = compares or (training_args.save_strategy == "best" and "--save_strategy best")
        if compares and (metric is None or training_args.eval_strategy == "no"):
            raise UserError(
                f"{compares} compares evaluations: give --metric_for_best_model f1 and --eval_strategy epoch or steps"
            )
        plateau = training_args.lr_scheduler_type == "reduce_lr_on_plateau"
        options: Any = training_args.lr_scheduler_kwargs or {}
        if plateau and options.get("mode") != "max":
            raise UserError(
                "--lr_scheduler_type reduce_lr_on_plateau takes less for better unless it is told otherwise: add "
                """--lr_scheduler_kwargs '{"mode": "max"}'"""
            )
