"""The data sets that code makes: what may be asked of them, and their rows as tables.

generate("terms", "de", split="validation", tokens=4096, background="xquad.de.json")
generate("babi_far", "de", split="validation", task=2, tokens=4096, data_dir="babi", background="xquad.de.json")
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from foundation.cli import UserError

from .babi_far import BabiFar
from .background import read_background, token_counter
from .terms import Terms

KINDS: dict[str, type[Terms] | type[BabiFar]] = {"terms": Terms, "babi_far": BabiFar}
SPLITS = ("train", "validation")
ROWS = 500
TOKENS = 4096
# Parameters of both generated data sets.
COMMON = ("tokenizer", "background", "rows")


def parameters(path: str) -> list[str]:
    """The names of what a generated data set may be told."""
    return [field.name for field in fields(KINDS[path]) if field.name != "language"] + list(COMMON)


def check_parameters(path: str, given: Mapping[str, Any]) -> None:
    """A UserError for what `path` knows nothing of."""
    known = parameters(path)
    for name in given:
        if name not in known:
            raise UserError(f"{name} {given[name]!r} is not for {path}: it takes {', '.join(known)}")


def load_generated(path: str, language: str, split: str | None, given: Mapping[str, Any]) -> Any:
    """A Dataset of one split; without one a DatasetDict, see `hub_datasets.load_dataset`."""
    import datasets
    import pyarrow as pa

    from .squad_format import EVIDENCE, FEATURES

    features = datasets.Features({**FEATURES, "language": datasets.Value("string"), **EVIDENCE})

    def one(name: str) -> Any:
        table = pa.concat_tables(generate(path, language, split=name, **given))
        return datasets.Dataset(table, info=datasets.DatasetInfo(features=features), split=datasets.Split(name))

    if split is not None:
        return one(split)
    background = given.get("background")
    return datasets.DatasetDict(
        {name: one(name) for name in (background if isinstance(background, Mapping) else ["validation"])}
    )


def generate(
    path: str,
    language: str,
    *,
    split: str,
    tokenizer: Any = None,
    background: Any = None,
    rows: int = ROWS,
    **given: Any,
) -> Iterator[Any]:
    """Arrow tables with SQuAD's columns, `language` and `evidence` {start, end}.

    Args:
        path: "terms" or "babi_far".
        split: train or validation; they share neither paragraphs nor names, numbers or stories.
        tokenizer: counts `tokens`: a loaded one, a Hub id or a folder; without it XLM-R's are estimated.
        background: a SQuAD-format file or several, a folder of official ones, or a mapping from split to these.
        rows: how many.
        given: the fields of `Terms` or `BabiFar`.

    Raises:
        UserError: one sentence on the argument or the file that must be mended.
    """
    from tqdm import tqdm

    from .squad_format import tables

    check_parameters(path, given)
    if split not in SPLITS:
        raise UserError(f"split {split!r} is not in {path}: choose one of {', '.join(SPLITS)}")
    if type(rows) is not int or rows < 1:
        raise UserError(f"rows must be a whole number from 1 up, but got {rows!r}")
    if given.get("paragraphs") is None and given.get("tokens") is None:
        given["tokens"] = TOKENS
    for name in ("tokens", "paragraphs"):
        value = given.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(f"{name} must be a whole number from 1 up, but got {value!r}")
    if given.get("paragraphs") is not None and given.get("tokens") is not None:
        raise UserError(f"tokens {given['tokens']} and paragraphs {given['paragraphs']} both say how long: give one")
    kind = KINDS[path](language=language, **given)
    kind.check()
    if isinstance(background, Mapping):
        if split not in background:
            raise UserError(f"background names no file for the split {split!r}: it has {', '.join(background)}")
        background = background[split]
    real = read_background(background, language, split, token_counter(tokenizer, language))
    real.check(kind.tokens, given.get("paragraphs"))
    made = tqdm(kind.rows(real, split, rows), f"{path} {language} {split}", rows, unit="row", disable=None)
    found = False
    for table in tables(made, language, evidence=True):
        found = True
        yield table
    if not found:
        raise UserError(f"tokens {given['tokens']} is too short for every story of the task {given['task']}: give more")
