"""The flags of pretrain.py beside those that finetune.py has too, and the thesis's recipe."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from foundation.cli import UserError
from training.runs.arguments import SharedArguments

if TYPE_CHECKING:
    from transformers import TrainingArguments

EXAMPLE = """  accelerate launch training/pretrain.py --model_name_or_path FacebookAI/xlm-roberta-base --max_pos 4096 \\
      --train_file_path wikitext-103-raw/wiki.train.raw --val_file_path wikitext-103-raw/wiki.valid.raw \\
      --evaluate_during_training --bf16 --do_train --do_eval --output_dir runs/xlm-long"""
DEFAULTS = {
    "learning_rate": 3e-5,
    "warmup_steps": 500,
    "weight_decay": 0.01,
    "max_steps": 6000,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 64,
    "per_device_eval_batch_size": 2,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "logging_steps": 50,
    "eval_steps": 500,
    "save_steps": 500,
    "logging_nan_inf_filter": False,  # else a loss of NaN is logged as 0
    "output_dir": "runs/pretrain",
}


@dataclass
class PretrainArguments(SharedArguments):
    """Which text to train on and how it is packed, masked and scored."""

    train_file_path: str | None = field(
        default=None, metadata={"help": "Text to train on: raw UTF-8, JSON lines (.jsonl), or a folder of either."}
    )
    val_file_path: str | None = field(default=None, metadata={"help": "The same, to score."})
    dataset_name: str | None = field(default=None, metadata={"help": "A dataset on the Hub instead of files."})
    dataset_config: str | None = field(default=None, metadata={"help": "Its configuration, if it has several."})
    train_split: str = field(default="train", metadata={"help": "Split of the Hub dataset to train on."})
    validation_split: str = field(default="validation", metadata={"help": "Split of the Hub dataset to score."})
    text_column: str = field(
        default="text", metadata={"help": "Column of the Hub dataset, or field of the JSON lines, that holds the text."}
    )
    line_by_line: bool = field(
        default=False,
        metadata={"help": "Each line, or row, is a document of its own: no sequence holds more than one."},
    )
    document_separator: str | None = field(
        default=None,
        metadata={
            "help": "Token between documents that are joined, such as </s>; a document is a row of JSON lines or of a "
            "dataset, or what blank lines part in raw text."
        },
    )
    whole_word_mask: bool = field(default=False, metadata={"help": "Mask all tokens of a word or none."})
    streaming: bool = field(
        default=False, metadata={"help": "Pack the training text while it is read; nothing is written to disk."}
    )
    packed_dir: str | None = field(
        default=None, metadata={"help": "Folder of the packed text; in the cache, named by its content, if not given."}
    )
    num_proc: int = field(default=1, metadata={"help": "Processes that tokenise."})
    max_pos: int = field(default=4096, metadata={"help": "Tokens of a sequence, [CLS] and [SEP] included."})
    attention_window: int = field(
        default=512, metadata={"help": "Window of a conversion, for a model that is no Longformer yet."}
    )
    mlm_probability: float = field(default=0.15, metadata={"help": "Share of the tokens that are predicted."})
    short_length: int = field(
        default=512, metadata={"help": "Second length of each evaluation, on the same text and masks."}
    )
    max_eval_sequences: int | None = field(
        default=128, metadata={"help": "Score at most this many sequences; 0 for all."}
    )

    def check(self, training_args: "TrainingArguments") -> None:
        """Raise UserError for values that cannot work, before anything is loaded or written."""
        if self.max_pos < 8:
            raise UserError(f"--max_pos {self.max_pos} is too short for a sequence: give 8 or more, such as 4096")
        if self.short_length < 3:
            raise UserError(f"--short_length {self.short_length} leaves no room for text: give 3 or more, such as 512")
        if self.num_proc < 1:
            raise UserError(f"--num_proc {self.num_proc} is not a number of processes: give 1 or more")
        if self.max_eval_sequences is not None and self.max_eval_sequences < 0:
            raise UserError(
                f"--max_eval_sequences {self.max_eval_sequences} is not a number of sequences: give 1 or more, or 0 "
                "for all"
            )
        if self.line_by_line and self.document_separator is not None:
            raise UserError(
                "--line_by_line keeps documents apart and --document_separator joins them: give one of the two"
            )
        if training_args.train_sampling_strategy == "sequential":
            raise UserError(
                "--train_sampling_strategy sequential has no part in pre-training, whose sequences come in an order of "
                "the seed: leave it out"
            )
        if self.dataset_name and (self.train_file_path or self.val_file_path):
            raise UserError("--dataset_name and --train_file_path/--val_file_path exclude each other: give one")
        if training_args.do_train and not (self.dataset_name or self.train_file_path):
            raise UserError("nothing to train on: give --train_file_path (raw text) or --dataset_name (a Hub id)")
        if training_args.do_eval and not training_args.do_train and not (self.dataset_name or self.val_file_path):
            raise UserError("nothing to score: give --val_file_path (raw text) or --dataset_name (a Hub id)")
        if self.streaming and training_args.max_steps <= 0:
            raise UserError("--streaming has no length: give --max_steps")
