"""What is published of a dataset, built in a folder: `main/` with the script, its sources and the card, `parquet/` with
the rows for the published nr_concats."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hub_datasets
from foundation.cli import UserError, one_line
from hub_datasets.concat import ConcatOptions, CorpusError, concatenate
from hub_datasets.loading import SIBLINGS
from hub_datasets.squad_format import check_sha256, read_paragraphs, tables

from .card import write_card
from .catalogue import parquet_path, sources
from .fingerprint import CountedRows, PartStatistics


def collect_sources(dataset: str, source_dir: Path | None, target: Path) -> None:
    """Put the official files into `target`, from a folder or from their home, each checked against its SHA-256."""
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
    main, parquet = folder / "main", folder / "parquet"
    collect_sources(dataset, source_dir, main / "data")
    here = Path(hub_datasets.__file__).parent
    for sibling in SIBLINGS:
        shutil.copyfile(here / sibling, main / sibling)
    # `datasets` looks for a script with the repository's name.
    shutil.copyfile(here / f"{dataset}.py", main / f"{repo_id.split('/')[1]}.py")
    statistics = _write_parquet(dataset, main / "data", parquet, nr_concats, tokenizer)
    for branch in (main, parquet):
        write_card(branch, dataset, branch.name, repo_id, nr_concats, statistics, tokenizer)
    return statistics


def _write_parquet(
    dataset: str, data: Path, target: Path, nr_concats: Sequence[int], tokenizer: str | None
) -> list[PartStatistics]:
    import pyarrow.parquet as pq
    from tqdm import tqdm

    count_tokens = _token_counter(tokenizer)
    statistics = []
    jobs = [(source, n) for source in sources(dataset) for n in nr_concats]
    for source, n in tqdm(jobs, desc="Building rows", unit="file", disable=None):
        path = target / parquet_path(n, source.part)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = CountedRows(_rows(data / source.name, n), source.language)
        writer = None
        # Not by `datasets`: it puts metadata into the schema that its older versions cannot read.
        for table in tables(rows, source.language):
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is None:
            raise UserError(f"{source.name} holds no question: give the official file")
        writer.close()
        statistics.append(rows.statistics(source.part, n, count_tokens))
    return statistics


def _rows(file: Path, nr_concats: int) -> Iterator[Any]:
    return concatenate(read_paragraphs(file.read_bytes(), file.name), ConcatOptions(nr_concats=nr_concats))


def _token_counter(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = one_line(error)
        raise UserError(f"--tokenizer {tokenizer!r} cannot be loaded ({reason}): give a Hub id or a folder") from error

    def count(documents: list[str]) -> list[int]:
        return [len(loaded(document, add_special_tokens=False, verbose=False)["input_ids"]) for document in documents]

    return count
