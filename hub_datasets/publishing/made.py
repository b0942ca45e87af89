"""What is published of a data set that code makes: Parquet files for each language, length and split, and a card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation import cards
from hub_datasets.generated import ROWS, generate

from .card import size_category
from .fingerprint import Fingerprint

TEMPLATE = Path(__file__).with_name("made_card.md.j2")
NAMES = {"terms": "terms: defined terms in long documents", "babi_far": "babi_far: bAbI's facts in long documents"}
# The licence of the surrounding texts, XQuAD's and SQuAD's. bAbI's facts are CC BY 3.0, which may be shared under it.
LICENCE = "cc-by-sa-4.0"


@dataclass(frozen=True)
class MadeStatistics:
    """One Parquet file; `apart` is the mean number of characters from the first evidence to the last."""

    configuration: str
    language: str
    tokens: int
    split: str
    rows: int
    mean_characters: float
    longest_characters: int
    apart: float
    fingerprint: str

    @property
    def path(self) -> str:
        return f"data/{self.configuration}.{self.split}.parquet"


def build_made(
    dataset: str,
    folder: Path,
    repo_id: str,
    languages: Sequence[str],
    tokens: Sequence[int],
    backgrounds: Mapping[str, Any],
    given: Mapping[str, Any],
) -> list[MadeStatistics]:
    """Build `folder/main`: a configuration LANGUAGE.TOKENS for each language and length.

    Args:
        backgrounds: split -> where its paragraphs come from; None for the official files.
        given: what else the data set is told, see `hub_datasets.generated.generate`.
    """
    import pyarrow.parquet as pq

    main = folder / "main"
    (main / "data").mkdir(parents=True)
    statistics = []
    for language in languages:
        for length in tokens:
            for split, background in backgrounds.items():
                writer = None
                fingerprint = Fingerprint()
                sizes: list[int] = []
                apart: list[int] = []
                path = main / f"data/{language}.{length}.{split}.parquet"
                for table in generate(dataset, language, split=split, tokens=length, background=background, **given):
                    # Not by `datasets`: it puts metadata into the schema that its older versions cannot read.
                    writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                    writer.write_table(table)
                    for row in table.to_pylist():
                        fingerprint.update(row)
                        sizes.append(len(row["context"]))
                        apart.append(max(row["evidence"]["end"]) - min(row["evidence"]["start"]))
                assert writer is not None, "generate gives a table or raises"
                writer.close()
                means = (sum(sizes) / len(sizes), max(sizes), sum(apart) / len(apart))
                name = f"{language}.{length}"
                statistics.append(MadeStatistics(name, language, length, split, len(sizes), *means, str(fingerprint)))
    _write_card(dataset, main, repo_id, languages, statistics, given)
    return statistics


def _write_card(
    dataset: str,
    folder: Path,
    repo_id: str,
    languages: Sequence[str],
    statistics: Sequence[MadeStatistics],
    given: Mapping[str, Any],
) -> None:
    from huggingface_hub import DatasetCardData

    names = list(dict.fromkeys(part.configuration for part in statistics))
    files = {name: [part for part in statistics if part.configuration == name] for name in names}
    rows = sum(part.rows for part in statistics)
    data = DatasetCardData(
        pretty_name=NAMES[dataset],
        language=list(languages) if dataset == "terms" else sorted({"en", *languages}),
        license=LICENCE,
        multilinguality="multilingual" if len(languages) > 1 else "monolingual",
        task_categories=["question-answering"],
        task_ids=["extractive-qa"],
        size_categories=[size_category(rows)],
        annotations_creators=["machine-generated"],
        tags=["long-context", "multi-hop"],
        configs=[
            {
                "config_name": name,
                "data_files": [{"split": part.split, "path": part.path} for part in parts],
                **({"default": True} if name == names[0] else {}),
            }
            for name, parts in files.items()
        ],
    )
    # A public card does not say where files lie on the publisher's machine.
    told = {key: value for key, value in given.items() if key not in ("data_dir", "tokenizer")} | {
        "rows": given.get("rows", ROWS)
    }
    cards.write_card(
        folder,
        data,
        TEMPLATE,
        dataset=dataset,
        repo_id=repo_id,
        statistics=statistics,
        example=names[0],
        parameters=json.dumps(told, sort_keys=True),
        counted="a tokenizer" if given.get("tokenizer") else "an estimate of XLM-R's",
    )
