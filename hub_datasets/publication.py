"""What is published of a dataset, built in a folder: `main/` with the script, its sources and the card, `parquet/` with
the rows for the published nr_concats."""

import hashlib
import importlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cli import UserError
from .concat import ConcatOptions, CorpusError

SIBLINGS = ("concat.py", "long_builder.py", "squad_format.py")


@dataclass(frozen=True)
class Source:
    """One official file. `part` names its rows: a split of SQuAD, a language of XQuAD."""

    name: str
    url: str
    sha256: str
    part: str
    split: str
    language: str | None


@dataclass(frozen=True)
class PartStatistics:
    """What one part holds at one nr_concats. Lengths are those of documents; tokens are None without a tokenizer."""

    part: str
    nr_concats: int
    rows: int
    documents: int
    mean_characters: float
    longest_characters: int
    mean_tokens: float | None
    longest_tokens: int | None
    fingerprint: str


class Fingerprint:
    """SHA-256 over rows in order, equal for the same rows however they were stored."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.rows = 0

    def update(self, row: dict[str, Any]) -> None:
        self._digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        self.rows += 1

    def __str__(self) -> str:
        return self._digest.hexdigest()


def builder_module(dataset: str) -> Any:
    """The loading script (squad_long or xquad_long) as a module of this package."""
    return importlib.import_module(f".{dataset}", __package__)


def sources(dataset: str) -> list[Source]:
    module = builder_module(dataset)
    if dataset == "squad_long":
        return [
            Source(name, module.URL + name, sha, split, split, None) for split, (name, sha) in module.SOURCES.items()
        ]
    names = {language: f"xquad.{language}.json" for language in module.SOURCES}
    return [
        Source(name, module.URL + name, module.SOURCES[language], language, "validation", language)
        for language, name in names.items()
    ]


def configurations(dataset: str, nr_concats: Sequence[int]) -> dict[str, dict[str, str]]:
    """Configurations of the branch `parquet`: name -> split -> path pattern."""
    parts = sources(dataset)
    found: dict[str, dict[str, str]] = {}
    for n in nr_concats:
        if dataset == "squad_long":
            found[f"squad.{n}"] = {part.split: _parquet_path(n, part.part) for part in parts}
        else:
            found[f"all.{n}"] = {"validation": _parquet_path(n, "*")}
            found |= {f"{part.part}.{n}": {"validation": _parquet_path(n, part.part)} for part in parts}
    return found


def collect_sources(dataset: str, source_dir: Path | None, target: Path) -> None:
    """Put the official files into `target`, from a folder or from their home, each checked against its SHA-256."""
    from .squad_format import check_sha256

    target.mkdir(parents=True)
    wanted = sources(dataset)
    if source_dir is not None:
        missing = [source.name for source in wanted if not (source_dir / source.name).is_file()]
        if missing:
            raise UserError(
                f"--source_dir {str(source_dir)!r} lacks {', '.join(missing)}: download them from {wanted[0].url}"
            )
        paths = [source_dir / source.name for source in wanted]
    else:
        import datasets

        try:
            paths = [Path(path) for path in datasets.DownloadManager().download([source.url for source in wanted])]
        except (ConnectionError, FileNotFoundError) as error:
            raise UserError(
                f"a source file cannot be reached ({error}): check the connection, or give --source_dir"
            ) from error
    for source, path in zip(wanted, paths, strict=True):
        try:
            check_sha256(path.read_bytes(), source.sha256, str(path))
        except CorpusError as error:
            raise UserError(str(error)) from None
        shutil.copyfile(path, target / source.name)


def build(
    dataset: str, folder: Path, repo_id: str, source_dir: Path | None, nr_concats: Sequence[int], tokenizer: str | None
) -> list[PartStatistics]:
    """Build `folder/main` and `folder/parquet`; returns what every part holds at every nr_concats."""
    from .card import write_card

    main, parquet = folder / "main", folder / "parquet"
    collect_sources(dataset, source_dir, main / "data")
    here = Path(__file__).parent
    for sibling in SIBLINGS:
        shutil.copyfile(here / sibling, main / sibling)
    # `datasets` looks for a script that is named like its repository.
    shutil.copyfile(here / f"{dataset}.py", main / f"{repo_id.split('/')[1]}.py")
    statistics = _write_parquet(dataset, main / "data", parquet, nr_concats, tokenizer)
    for branch in (main, parquet):
        write_card(branch / "README.md", dataset, branch.name, repo_id, nr_concats, statistics, tokenizer)
    return statistics


def _write_parquet(
    dataset: str, data: Path, target: Path, nr_concats: Sequence[int], tokenizer: str | None
) -> list[PartStatistics]:
    import pyarrow.parquet as pq
    from tqdm import tqdm

    from .squad_format import tables

    count_tokens = _token_counter(tokenizer)
    statistics = []
    jobs = [(source, n) for source in sources(dataset) for n in nr_concats]
    for source, n in tqdm(jobs, desc="Building rows", unit="file", disable=None):
        path = target / _parquet_path(n, source.part)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = _Counted(_rows(data / source.name, n), source.language)
        writer = None
        # Without `datasets`' own metadata in the schema, which older versions cannot read.
        for table in tables(rows, source.language):
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is None:
            raise UserError(f"{source.name} holds no question: give the official file")
        writer.close()
        statistics.append(rows.statistics(source.part, n, count_tokens))
    return statistics


def _rows(file: Path, nr_concats: int) -> Iterator[Any]:
    from .concat import concatenate
    from .squad_format import read_paragraphs

    return concatenate(read_paragraphs(file.read_bytes(), file.name), ConcatOptions(nr_concats=nr_concats))


class _Counted:
    """Rows on their way, counted and fingerprinted."""

    def __init__(self, rows: Iterable[Any], language: str | None) -> None:
        self._rows, self._language = rows, language
        self.fingerprint = Fingerprint()
        self.documents: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            # The rows of a block share one string.
            if not self.documents or self.documents[-1] is not row.context:
                self.documents.append(row.context)
            answers = {"text": row.texts, "answer_start": row.answer_starts}
            record = {"id": row.id, "title": row.title, "context": row.context, "question": row.question}
            language = {} if self._language is None else {"language": self._language}
            self.fingerprint.update(record | {"answers": answers} | language)
            yield row

    def statistics(self, part: str, nr_concats: int, count_tokens: Any) -> PartStatistics:
        lengths = [len(document) for document in self.documents]
        tokens = count_tokens(self.documents) if count_tokens else None
        return PartStatistics(
            part,
            nr_concats,
            rows=self.fingerprint.rows,
            documents=len(lengths),
            mean_characters=sum(lengths) / len(lengths),
            longest_characters=max(lengths),
            mean_tokens=sum(tokens) / len(tokens) if tokens else None,
            longest_tokens=max(tokens) if tokens else None,
            fingerprint=str(self.fingerprint),
        )


def _token_counter(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"--tokenizer {tokenizer!r} cannot be loaded ({reason:.200}): give a Hub id or a folder"
        ) from error

    def count(documents: list[str]) -> list[int]:
        return [len(loaded(document, add_special_tokens=False, verbose=False)["input_ids"]) for document in documents]

    return count


def _parquet_path(nr_concats: int, part: str) -> str:
    return f"nr_concats-{nr_concats}/{part}.parquet"
