"""The sources of a training: what --dataset and --data_files name, each with its cap and options, and their rows.

    --dataset terms:2000:language=all:tokens=1024 babi_far:500:task=2 --data_files '*.mlqa.json:300' fr.piaf.json:2000

Files whose names differ in the language alone (`de.mlqa.json`, `en.mlqa.json`) are one source in several languages:
what has the same id in them is the same question.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from foundation.cards import public_path
from foundation.cli import UserError
from training.corpora.files import name_without_language, paths_of
from training.corpora.generated import MakingArguments
from training.corpora.load import check_ids, load_qa
from training.corpora.options import concat_options
from training.corpora.sources import GENERATED, canonical_name, check_data_dir, reads_data_dir
from training.runs.randomness import Use, random_stream

FILES = "file"  # the data set that is nothing but its files
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
        known += _takes(canonical_name(name))
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
    if reader.options or (reader.cap is not None and not _is_trivia(reader)):
        raise UserError(f"--dataset {reader.name!r} takes neither cap nor options with files: write a cap behind each")
    if _is_trivia(reader) and any(cap is not None for cap in files.values()):
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


def _takes(generated: str) -> list[str]:
    from hub_datasets.generated import parameters

    return [each.name for each in fields(MakingArguments) if each.name in parameters(generated)]


def _is_trivia(source: Source) -> bool:
    return canonical_name(source.dataset).startswith("trivia_qa")


def check_flags(sources: Sequence[Source], arguments: Any, evaluated: Source | None) -> None:
    """Refuse a --data_dir, or a flag of how code makes rows, that none of several sources takes."""
    read = [*sources, *filter(None, [evaluated])]
    check_data_dir(arguments.data_dir, *((each.dataset, each.files and " ".join(each.files)) for each in read))
    if len(sources) == 1:
        return  # `load_qa` knows
    taken = {option for each in read if each.is_generated for option in _takes(canonical_name(each.dataset))}
    for each in fields(MakingArguments):
        value = getattr(arguments, each.name)
        if value is not None and each.name not in taken:
            raise UserError(f"--{each.name} {value!r} is for none of the sources: leave it out")


def local_files(arguments: Any) -> list[str]:
    """The files on this machine that the rows are made of, --data_dir aside: paths and patterns."""
    read = [*arguments.sources, *filter(None, [arguments.evaluated])]
    files = [path for source in read for path in source.files or ()]
    named = [source.options.get("background") for source in read]
    for background in filter(None, (*named, arguments.background, arguments.eval_background)):
        files.append(f"{background}/*.json" if Path(background).is_dir() else background.replace("{language}", "*"))
    return files


def read_sources(sources: Sequence[Source], arguments: Any, output_dir: str) -> Any:
    """All training rows of all sources, `as_one`."""
    found = [(source, _read(source, arguments, output_dir, alone=len(sources) == 1)) for source in sources]
    where = " ".join(arguments.data_files or arguments.dataset)
    return as_one(found, f"--dataset {where!r}, split 'train',")


def as_one(read: Iterable[tuple[Source, Any]], where: str) -> Any:
    """The rows of sources as one Dataset with the columns of `load_qa` and `source`, `part`, `cap`.

    `source` is a name, and an id comes once in it in each language; of several sources it begins every id. `part` is
    what a cap is of: a file, or a language of a data set; `cap` is 0 where there is none. UserError, in which `where`
    says whose they are, for an id that comes twice.
    """
    import datasets

    found = []
    names: dict[tuple[str, ...], str] = {}
    for source, rows in read:
        if "file" in rows.column_names:
            assert source.files is not None
            labels = {path: _label((str(Path(path).parent), _name_of_file(path)), names) for path in source.files}
            part, column = rows["file"], [labels[path] for path in rows["file"]]
            caps = [source.files[path] or 0 for path in part]
            rows = rows.remove_columns("file")
        else:
            part, column = (
                rows["language"],
                [_label((source.dataset, str(source.options), source.name), names)] * len(rows),
            )
            caps = [source.cap or 0] * len(rows)
        for name, values in (("source", column), ("part", part), ("cap", caps)):
            rows = rows.add_column(name, values)
        found.append(rows)
    rows = found[0] if len(found) == 1 else datasets.concatenate_datasets(found)
    if len(names) > 1:
        ids = [f"{source}:{key}" for source, key in zip(rows["source"], rows["id"], strict=True)]
        rows = rows.remove_columns("id").add_column("id", ids)
    check_ids(rows["id"], rows["language"], where)
    return rows


def _read(source: Source, arguments: Any, output_dir: str, alone: bool) -> Any:
    files = None if source.files is None else list(source.files)
    takes_concat = alone or not (source.is_generated or _is_trivia(source))
    making = {each.name: getattr(arguments, each.name) for each in fields(MakingArguments)}
    if not alone or (not source.is_generated and arguments.eval_dataset in GENERATED):  # it is said of others
        taken = _takes(canonical_name(source.dataset)) if source.is_generated else []
        making = {name: value if name in taken else None for name, value in making.items()}
    making |= {name: value for name, value in source.options.items() if name in making}
    if source.is_generated and making["rows"] is None:
        making["rows"] = source.cap
    return load_qa(
        source.dataset,
        "train",
        data_files=files,
        data_dir=arguments.data_dir if reads_data_dir(source.dataset, files) else None,
        language=source.options.get("language", arguments.language),
        options=concat_options(source.dataset, arguments if takes_concat else None, output_dir),
        making=MakingArguments(**making),
        unique_ids=False,
        name_files=files is not None,
    )


def _name_of_file(path: str) -> str:
    name = name_without_language(path)
    return f"{name} (file)" if name in GENERATED else name


def _label(key: tuple[str, ...], names: dict[tuple[str, ...], str]) -> str:
    """The last of `key`; with a number where another key has that name."""
    if key not in names:
        others = sum(other[-1] == key[-1] for other in names)
        names[key] = f"{key[-1]} ({others + 1})" if others else key[-1]
    return names[key]


def cap_rows(rows: Any, seed: int) -> Any:
    """`rows` of `read_sources` with at most as many questions of each part as its cap, drawn by seed and name.

    Other sources change nothing in the draw of one. Of TriviaQA, whose rows are a question's documents, a question
    keeps all of its own.
    """
    if not any(rows["cap"]):
        return rows
    ids = rows["question_id"] if "question_id" in rows.column_names else [None] * len(rows)
    questions = [row if key is None else key for key, row in zip(ids, rows["id"], strict=True)]
    parts = list(zip(rows["source"], rows["part"], strict=True))
    of_part: dict[tuple[str, str], dict[str, None]] = {}
    for part, question in zip(parts, questions, strict=True):
        of_part.setdefault(part, {})[question] = None
    cap_of = dict(zip(parts, rows["cap"], strict=True))
    kept = set()
    for part, its_questions in of_part.items():
        count = cap_of[part] or len(its_questions)
        name = hashlib.sha256(f"{part[0]}\n{Path(part[1]).name}".encode()).digest()[:4]
        order = random_stream(seed, Use.CAP, int.from_bytes(name)).permutation(len(its_questions))
        all_of_them = list(its_questions)
        kept |= {(part, all_of_them[number]) for number in order[:count]}
    return rows.select([number for number, each in enumerate(zip(parts, questions, strict=True)) if each in kept])


def question_key(row: Mapping[str, Any]) -> tuple[str, str]:
    """(source, id) of a row, the id without the source's name and the language's code in front: what is the same
    question in another language has the same."""
    source = row.get("source") or ""
    key = row["id"].removeprefix(f"{source}:")
    language = re.escape((row.get("language") or "").split(".")[0])
    return source, re.sub(rf"^{language}[-_.:/#]", "", key, flags=re.IGNORECASE) if language else key


def shares(rows: Any, at_hand: Any) -> str:
    """A table of the questions by source and language: trained on, at hand, and the share of the whole."""
    counted, all_of_them = (Counter(zip(each["source"], each["language"], strict=True)) for each in (rows, at_hand))
    lines = ["| source | language | questions | at hand | share |", "|---|---|---|---|---|"]
    for (source, language), count in all_of_them.items():
        trained = counted[source, language]
        lines.append(f"| {source} | {language} | {trained:,} | {count:,} | {100 * trained / max(1, len(rows)):.1f}% |")
    lines.append(f"| all | | {len(rows):,} | {len(at_hand):,} | 100.0% |")
    return "\n".join(lines)
