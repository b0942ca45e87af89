"""The flags of score.py and length_report.py beside those that finetune.py has too."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from foundation.cli import UserError
from training.corpora.arguments import DATASETS, SplitArguments
from training.qa.arguments import QuestionArguments
from training.runs.arguments import ModelArguments

from .bootstrap import DRAWS


@dataclass(kw_only=True)
class ReadArguments(QuestionArguments, SplitArguments, ModelArguments):
    """Which model reads which questions, and how."""

    model_name_or_path: str = field(
        metadata={"help": "Checkpoint with a QA head, or an adapter: a folder or a Hub id."}
    )
    output_dir: str = field(metadata={"help": "Folder for what is found: scores, answers, plots."})
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Remove what an earlier run left in --output_dir."}
    )
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter to merge into the model."})
    batch_size: int = field(default=8, metadata={"help": "Windows a batch."})
    null_threshold: float | None = field(
        default=None, metadata={"help": "squad_v2: margin of 'no answer'; as tuned by finetune.py, or 0, if not given."}
    )
    bf16: str = field(
        default="no",
        metadata={
            "help": "Run the model under bfloat16 autocast; auto: where a measurement at the start says that it pays.",
            "choices": ("no", "yes", "auto"),
            "nargs": "?",
            "const": "yes",
        },
    )
    use_cpu: bool = field(default=False, metadata={"help": "Stay on the CPU although there is an accelerator."})

    @classmethod
    def of_run(cls, run: Mapping[str, Any], output_dir: str | Path) -> Self:
        """Of a run that scores.json in `output_dir` describes; what it has beside the flags is left out."""
        known = {each.name for each in fields(cls)}
        return cls(**{**{name: run[name] for name in known & run.keys()}, "output_dir": str(output_dir)})

    def check(self) -> None:
        """What can be refused before anything heavy is loaded."""
        for name in ("batch_size", "n_best", "max_answer_length", "max_eval_samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} {value} is below 1: give a whole number from 1 up")


@dataclass(kw_only=True)
class ScoreArguments(ReadArguments):
    """The flags of score.py."""

    dataset: str = field(default="xquad", metadata={"help": DATASETS})
    by: str = field(default="language", metadata={"help": "What the table shows.", "choices": ("language", "length")})


@dataclass(kw_only=True)
class LengthArguments(ReadArguments):
    """The flags of length_report.py."""

    windows: list[int] = field(
        default_factory=lambda: [512], metadata={"help": "Tokens of the windows that whole reading is set against."}
    )
    short_model: str | None = field(
        default=None,
        metadata={"help": "A fine-tuned short model or adapter (folder or Hub id) that reads its own length."},
    )
    draws: int = field(default=DRAWS, metadata={"help": "Samples of the questions for the intervals."})
    seed: int = field(default=42, metadata={"help": "Of the samples."})

    def check(self) -> None:
        super().check()
        if self.draws < 1:
            raise UserError(f"--draws {self.draws} is below 1: give some thousands")
        if len(set(self.windows)) < len(self.windows):
            raise UserError(f"--windows {' '.join(map(str, self.windows))} names a size twice: give each once")
