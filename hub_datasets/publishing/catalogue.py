"""What is published: the official files of each dataset, and the configurations of its rows."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """One official file. `part` names its rows: a split of SQuAD, a language of XQuAD."""

    name: str
    url: str
    sha256: str
    part: str
    split: str
    language: str | None


def builder_module(dataset: str) -> Any:
    """The loading script (squad_long or xquad_long) as a module."""
    return importlib.import_module(f"hub_datasets.{dataset}")


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
            found[f"squad.{n}"] = {part.split: parquet_path(n, part.part) for part in parts}
        else:
            found[f"all.{n}"] = {"validation": parquet_path(n, "*")}
            found |= {f"{part.part}.{n}": {"validation": parquet_path(n, part.part)} for part in parts}
    return found


def parquet_path(nr_concats: int, part: str) -> str:
    return f"nr_concats-{nr_concats}/{part}.parquet"
