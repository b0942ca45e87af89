"""The flags of every command that reads rows: which data, and how they become rows."""

from dataclasses import dataclass, field

from .generated import MakingArguments
from .options import ConcatArguments

DATASETS = "squad, squad_v2, sq3, xquad, xq3, mlqa, trivia_qa, terms, babi_far, sample, file or a Hub id."


@dataclass
class DataArguments(ConcatArguments, MakingArguments):
    """Where questions come from, in which languages, and how paragraphs become rows."""

    data_dir: str | None = field(
        default=None, metadata={"help": "Folder of the data set's official files; without it the Hub is asked."}
    )
    language: str | None = field(
        default=None, metadata={"help": "One, several with commas, or all; mlqa: de.en is German, asked in English."}
    )


@dataclass
class SplitArguments:
    """One split of one data set."""

    dataset: str = field(default="file", metadata={"help": DATASETS})
    data_files: str | None = field(default=None, metadata={"help": "A file or pattern (--dataset file)."})
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a data set on the Hub."})
    split: str = field(default="validation", metadata={"help": "validation, test (mlqa) or train."})
