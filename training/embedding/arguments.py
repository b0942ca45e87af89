"""The flags of embed.py beside those that every training has."""

from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from conversion.embedded import LONG_NAME, NAME
from foundation.cli import UserError
from foundation.files import read_json
from training.runs.arguments import SharedArguments
from training.runs.origin import beside_model

if TYPE_CHECKING:
    from transformers import TrainingArguments

EXAMPLE = """  accelerate launch training/embed.py --model_name_or_path embedded-long \\
      --train_file_path wiki.train.raw --do_train --max_steps 500 --output_dir runs/embedder"""
DEFAULTS = {
    "learning_rate": 2e-5,
    "warmup_steps": 0.1,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "num_train_epochs": 1,
    "logging_steps": 10,
    "save_steps": 500,
    "output_dir": "runs/embed",
}
# A step of the map costs next to nothing, so that it can have large batches and many epochs.
MAP_DEFAULTS = {**DEFAULTS, "learning_rate": 1e-4, "per_device_train_batch_size": 128, "num_train_epochs": 10}
OBJECTIVES = ("pieces", "pairs")
PARTS = ("model", "map")


def defaults(argv: list[str]) -> dict[str, object]:
    """Those of the part that a command line trains."""
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--train")
    return MAP_DEFAULTS if early.parse_known_args(argv)[0].train == "map" else DEFAULTS


@dataclass
class EmbedArguments(SharedArguments):
    """What a whole document's vector learns, and from which text."""

    objective: str = field(
        default="pieces",
        metadata={
            "help": "pieces: the mean of the teacher's vectors of a document's pieces, from any text; pairs: a "
            "document is nearer to its question than the other documents of the batch.",
            "choices": OBJECTIVES,
        },
    )
    train: str = field(
        default="model",
        metadata={
            "help": "model: all weights; map: one square matrix after the model, which reads each text once.",
            "choices": PARTS,
        },
    )
    train_file_path: str | None = field(
        default=None,
        metadata={"help": "Raw UTF-8 text, .jsonl or a SQuAD-format .json; with --objective pairs one of the latter."},
    )
    val_file_path: str | None = field(default=None, metadata={"help": "The same, to score."})
    text_column: str = field(default="text", metadata={"help": "Field of the .jsonl that holds the text."})
    teacher_name_or_path: str | None = field(
        default=None,
        metadata={"help": "The short model that a conversion came from (default: as conversion_report.json says)."},
    )
    max_length: int = field(default=4096, metadata={"help": "Longest document in tokens, its prompt included."})
    min_length: int = field(default=256, metadata={"help": "Shortest stretch that --objective pieces cuts."})
    pooling: str = field(
        default="mean",
        metadata={
            "help": "How tokens become a vector, for a checkpoint that does not say.",
            "choices": ("mean", "cls"),
        },
    )
    query_prompt: str | None = field(default=None, metadata={"help": "Before a question (default: the checkpoint's)."})
    document_prompt: str | None = field(
        default=None, metadata={"help": "Before a document (default: the checkpoint's)."}
    )
    dropout: float | None = field(
        default=None,
        metadata={"help": "Every dropout probability (default: 0 with pieces, the checkpoint's with pairs)."},
    )
    temperature: float = field(
        default=0.01,
        metadata={
            "help": "Divides similarities before the softmax (objective pairs): 0.01 in E5, 0.05 in "
            "sentence-transformers. A model keeps the one that it was trained with."
        },
    )
    mini_batch_size: int = field(
        default=2,
        metadata={"help": "Pairs, or with --train map texts, that pass through the model at once, whatever the batch."},
    )

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts that were given."""
        given = {"query": self.query_prompt, "document": self.document_prompt}
        return {part: text for part, text in given.items() if text is not None}

    @property
    def config(self) -> dict[str, float]:
        """What changes in the checkpoint's configuration: a vector that is noisy by itself learns no small distance."""
        dropout = 0.0 if self.dropout is None and self.objective == "pieces" else self.dropout
        names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
        return {} if dropout is None else dict.fromkeys(names, dropout)

    def check(self, training_args: "TrainingArguments") -> None:
        """Raise UserError for values that cannot work, before anything is loaded or written."""
        if not (training_args.do_train or training_args.do_eval):
            raise UserError("nothing to do: give --do_train, --do_eval or both")
        given = (
            ("--train_file_path", self.train_file_path, training_args.do_train),
            ("--val_file_path", self.val_file_path, training_args.do_eval),
        )
        for flag, path, wanted in given:
            if wanted and path is None:
                raise UserError(f"no text: give {flag}")
        if self.objective == "pieces" and not 16 <= self.min_length <= self.max_length:
            raise UserError(
                f"--min_length {self.min_length} and --max_length {self.max_length} are no range: give 16 or more, and "
                "no more than --max_length"
            )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UserError(f"--dropout {self.dropout} is no probability below 1")
        if not 0 < self.temperature <= 1:
            raise UserError(f"--temperature {self.temperature} is not between 0 and 1: 0.01 to 0.05 is usual")
        if self.mini_batch_size < 1:
            raise UserError(f"--mini_batch_size {self.mini_batch_size} is below 1: give 1 or more")
        if self.objective == "pairs" and self.teacher_name_or_path is not None:
            raise UserError("--teacher_name_or_path has no part in --objective pairs: leave it out")
        if self.train == "map" and self.dropout is not None:
            raise UserError("--dropout has no part in --train map, whose model is not trained: leave it out")
        if self.train == "map" and training_args.dataloader_num_workers:
            raise UserError(
                f"--dataloader_num_workers {training_args.dataloader_num_workers} has no part in --train map: each "
                "would read every text anew, epoch by epoch; leave it out"
            )
        for flag, path, wanted in given:
            if wanted and not Path(str(path)).expanduser().exists():
                raise UserError(f"{flag} {path!r} is not a file, nor a folder: check the path")

    def teacher(self) -> str:
        """The short model whose vectors are learned."""
        if self.teacher_name_or_path is not None:
            return self.teacher_name_or_path
        if self.model_name_or_path == LONG_NAME:
            return NAME
        record = beside_model(str(Path(self.model_name_or_path).expanduser()), "conversion_report.json", self.revision)
        if record is None:
            raise UserError(
                f"--model_name_or_path {self.model_name_or_path!r} does not say which model it was made from: give "
                "--teacher_name_or_path, the short model whose vectors it shall have"
            )
        return str(read_json(record, "--model_name_or_path", dict)["source"])
