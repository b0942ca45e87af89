"""The rows of a training and of its evaluation: all sources read as one data set, and capped."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from training.corpora.files import name_without_language
from training.corpora.generated import MakingArguments
from training.corpora.load import check_ids, load_qa
from training.corpora.options import concat_options
from training.corpora.sources import GENERATED, canonical_name, reads_data_dir
from training.runs.randomness import Use, random_stream

from .arguments import FinetuneArguments
from .sources import Source, making_options

if TYPE_CHECKING:
    import datasets


def local_files(arguments: FinetuneArguments) -> list[str]:
    """The files on this machine that the rows are made of, --data_dir aside: paths and patterns."""
    read = [*arguments.sources, *filter(None, [arguments.evaluated])]
    files = [path for source in read for path in source.files or ()]
    named = [source.options.get("background") for source in read]
    for background in filter(None, (*named, arguments.background, arguments.eval_background)):
        files.append(f"{background}/*.json" if Path(background).is_dir() else background.replace("{language}", "*"))
    return files


def read_sources(sources: Sequence[Source], arguments: FinetuneArguments, output_dir: str) -> "datasets.Dataset":
    """All training rows of all sources, `as_one`."""
    found = [(source, _read(source, arguments, output_dir, alone=len(sources) == 1)) for source in sources]
    where = " ".join(arguments.data_files or arguments.dataset)
    return as_one(found, f"--dataset {where!r}, split 'train',")


def as_one(read: Iterable[tuple[Source, "datasets.Dataset"]], where: str) -> "datasets.Dataset":
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


def _read(source: Source, arguments: FinetuneArguments, output_dir: str, alone: bool) -> "datasets.Dataset":
    files = None if source.files is None else list(source.files)
    takes_concat = alone or not (source.is_generated or source.is_trivia_qa)
    making = {each.name: getattr(arguments, each.name) for each in fields(MakingArguments)}
    if not alone or (not source.is_generated and arguments.eval_dataset in GENERATED):  # the flags are for others
        taken = making_options(canonical_name(source.dataset)) if source.is_generated else []
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


def cap_rows(rows: "datasets.Dataset", seed: int) -> "datasets.Dataset":
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


def shares(rows: "datasets.Dataset", at_hand: "datasets.Dataset") -> str:
    """A table of the questions by source and language: trained on, at hand, and the share of the whole."""
    counted, all_of_them = (Counter(zip(each["source"], each["language"], strict=True)) for each in (rows, at_hand))
    lines = ["| source | language | questions | at hand | share |", "|---|---|---|---|---|"]
    for (source, language), count in all_of_them.items():
        trained = counted[source, language]
        lines.append(f"| {source} | {language} | {trained:,} | {count:,} | {100 * trained / max(1, len(rows)):.1f}% |")
    lines.append(f"| all | | {len(rows):,} | {len(at_hand):,} | 100.0% |")
    return "\n".join(lines)
