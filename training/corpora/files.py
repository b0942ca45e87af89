"""Question-answering files on this machine: which ones are meant, their language, and the paragraphs in them."""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.cli import UserError
from hub_datasets.concat import Paragraph

from .hub import check_columns, paragraphs_of
from .sources import LANGUAGES

DataFiles = str | Path | Sequence[str] | Mapping[str, Any]


def paths_of(data_files: DataFiles, split: str) -> list[Path]:
    """The files that `data_files` names for `split`, patterns resolved."""
    if isinstance(data_files, Mapping):
        if split not in data_files:
            raise UserError(f"--data_files names no file for the split {split!r}: it has {', '.join(data_files)}")
        data_files = data_files[split]
    patterns = [data_files] if isinstance(data_files, str | Path) else list(data_files)
    paths: list[Path] = []
    for pattern in map(str, patterns):
        literal = Path(pattern).expanduser()
        found = [literal] if literal.is_file() else [Path(path) for path in sorted(glob.glob(str(literal)))]
        if not any(path.is_file() for path in found):
            raise UserError(f"--data_files {pattern!r} is not a file: check the path")
        paths += [path for path in found if path.is_file()]
    return paths


def language_in_name(path: Path) -> str:
    """`de` for `xquad.de.json` and `test-context-de-question-en.json`, else `en`, for `my_qa.json` too."""
    if match := re.search(r"context-([a-z]{2})-question|\.([a-z]{2})$", path.stem):
        return match[1] or match[2]
    match = re.search(r"[_-]([a-z]{2})$", path.stem)
    return match[1] if match and match[1] in LANGUAGES.split() else "en"


def read_file(path: Path) -> list[Paragraph]:
    from hub_datasets.squad_format import read_paragraphs

    if path.suffix in (".jsonl", ".parquet"):
        return paragraphs_of(_load_rows(path), str(path))
    return read_paragraphs(path.read_bytes(), str(path))


def _load_rows(path: Path) -> Any:
    """Rows with SQuAD's columns from a file that is not a SQuAD tree."""
    import datasets

    kind = {".jsonl": "json", ".parquet": "parquet"}[path.suffix]
    try:
        rows = datasets.load_dataset(kind, data_files=str(path), split="train")
    except datasets.exceptions.DatasetsError as error:
        raise UserError(
            f"{str(path)!r} cannot be read as {path.suffix[1:]}: is it cut off, or another format?"
        ) from error
    check_columns(rows.column_names, str(path))
    return rows
