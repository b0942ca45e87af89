"""The sources of a training: what --dataset and --data_files name, each with its cap and options.

    --dataset terms:2000:language=all:tokens=1024 babi_far:500:task=2 --data_files '*.mlqa.json:300' fr.piaf.json:2000

Files whose names differ in the language alone (`de.mlqa.json`, `en.mlqa.json`) are one source in several languages:
what has the same id in them is the same question.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from foundation.cards import public_path
from foundation.cli import UserError
from training.corpora.arguments import DataArguments
from training.corpora.files import paths_of
from training.corpora.generated import MakingArguments
from training.corpora.sources import GENERATED, canonical_name, check_data_dir

FILES = "file"  # the name of a data set that is only files
NUMBERS = ("tokens", "parties", "hops", "task", "rows")


@dataclass(frozen=True)
class Source:
    """What is read at once: a data set, or all the files.

    Args:
        dataset: its name; of files, whose way they are read in.
        files: path to cap; None for a data set without files of its own.
        cap: at most so many questions of each of its languages.
        options: `language`, and of a data set that code makes what `MakingArguments` has.
    """

    dataset: str
    files: Mapping[str, int | None] | None = None
    cap: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For readers, who have nothing of a path on this machine."""
        options = [f"{key}={public_path(str(value))}" for key, value in self.options.items()]
        return ":".join([public_path(self.dataset), *options])

    @property
    def is_generated(self) -> bool:
        return self.files is None and canonical_name(self.dataset) in GENERATED

    @property
    def is_trivia_qa(self) -> bool:
        return canonical_name(self.dataset).startswith("trivia_qa")


def sources_of(dataset: Sequence[str], data_files: Sequence[str] | None) -> list[Source]:
    """What --dataset and --data_files name.

    Files are read in the way of the one data set that is named beside them, code-made ones aside; where `file` is
    among the names, the others are sources of their own.

    Raises:
        UserError: a missing file, a pattern that matches none, a cap that is no whole number from 1 up, an option that
            the data set does not take, or a source that is named twice.
    """
    sources = [_dataset(word) for word in dataset]
    words = list(data_files or ())
    for source in sources:
        if Path(source.dataset).is_file():
            words.append(source.dataset if source.cap is None else f"{source.dataset}:{source.cap}")
    sources = [source for source in sources if not Path(source.dataset).is_file()]
    if words:
        readers = [source for source in sources if not source.is_generated]
        names = [source.dataset for source in readers]
        if FILES in names:
            readers = [source for source in readers if source.dataset == FILES]
        elif len(readers) > 1 or (readers and data_files is None):
            raise UserError(
                f"--dataset {' '.join(names)} with files does not say whose files they are: add {FILES!r} to --dataset"
            )
        sources = [source for source in sources if source not in readers]
        sources.append(files_of(readers[0] if readers else Source(FILES), words, "--data_files"))
    for number, source in enumerate(sources):
        if any((other.dataset, other.options) == (source.dataset, source.options) for other in sources[:number]):
            raise UserError(f"--dataset names {source.name!r} twice: give each data set once, or with other options")
    return sources


def _dataset(word: str) -> Source:
    name, cap, options = _take_apart("--dataset", word)
    known = ["language"]
    if canonical_name(name) in GENERATED:
        known += making_options(canonical_name(name))
    for key, value in options.items():
        if key not in known:
            raise UserError(f"--dataset {word!r} says {key}={value}, and {name} takes {', '.join(known)}: leave it out")
        if key in NUMBERS and not re.fullmatch(r"\d{1,9}", value):
            raise UserError(f"--dataset {word!r} says {key}={value}: give a whole number")
    return Source(
        name, cap=cap, options={key: int(value) if key in NUMBERS else value for key, value in options.items()}
    )


def files_of(reader: Source, words: Iterable[str], flag: str) -> Source:
    """The files of all `words` of `flag`, with their caps, as one source, read in the way of `reader`."""
    files: dict[str, int | None] = {}
    for word in words:
        pattern, cap, options = _take_apart(flag, word)
        if options:
            raise UserError(f"{flag} {word!r}: a file takes a cap and nothing else, as in {pattern}:2000")
        for path in map(str, paths_of(pattern, "train", flag)):
            if path in files:
                raise UserError(f"{flag} names {path!r} twice: give each file once")
            files[path] = cap
    if reader.options or (reader.cap is not None and not reader.is_trivia_qa):
        raise UserError(f"--dataset {reader.name!r} takes neither cap nor options with files: write a cap behind each")
    if reader.is_trivia_qa and any(cap is not None for cap in files.values()):
        mend = (
            f"write it behind the name, {reader.dataset}:2000" if flag == "--data_files" else "give --max_eval_samples"
        )
        raise UserError(f"{flag} of {reader.dataset} take no cap: {mend}")
    return Source(reader.dataset, files, reader.cap)


def _take_apart(flag: str, word: str) -> tuple[str, int | None, dict[str, str]]:
    """`NAME[:CAP][:OPTION=VALUE ...]`; a colon in a path (a drive's, an address's) is a part of the name."""
    name, cap, options = word, None, dict[str, str]()
    while ":" in name and not Path(name).expanduser().exists():
        head, _, last = name.rpartition(":")
        option = re.fullmatch(r"(\w+)=(.*)", last)
        if len(head) < 2 or (not option and set("/\\") & set(last)):
            break
        if option:
            options = {option[1]: option[2], **options}
        elif cap is not None or not re.fullmatch(r"0*[1-9]\d{0,8}", last):
            raise UserError(f"{flag} {word!r} has the cap {last!r}: give one whole number from 1 up, as in {head}:2000")
        else:
            cap = int(last)
        name = head
    return name, cap, options


def making_options(generated: str) -> list[str]:
    """The fields of `MakingArguments` that this data set takes."""
    from hub_datasets.generated import parameters

    return [each.name for each in fields(MakingArguments) if each.name in parameters(generated)]


def check_flags(sources: Sequence[Source], arguments: DataArguments, evaluated: Source | None) -> None:
    """Refuse a --data_dir, or a flag of how code makes rows, that none of several sources takes."""
    read = [*sources, *filter(None, [evaluated])]
    check_data_dir(arguments.data_dir, *((each.dataset, each.files and " ".join(each.files)) for each in read))
    if len(sources) == 1:
        return  # `load_qa` refuses what a single source does not take
    taken = {option for each in read if each.is_generated for option in making_options(canonical_name(each.dataset))}
    for each in fields(MakingArguments):
        value = getattr(arguments, each.name)
        if value is not None and each.name not in taken:
            raise UserError(f"--{each.name} {value!r} is for none of the sources: leave it out")
