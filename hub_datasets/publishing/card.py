"""The dataset card: prose in `dataset_card.md.j2`, figures from what was built."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation import cards

from .catalogue import builder_module, configurations, sources
from .fingerprint import PartStatistics

TEMPLATE = Path(__file__).with_name("dataset_card.md.j2")
# The Hub's size classes, by the rows of the largest configuration.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(rows: int) -> str:
    """The Hub's class of a data set of so many rows."""
    return next(name for limit, name in _SIZES if rows < limit)


def write_card(
    folder: Path,
    dataset: str,
    branch: str,
    repo_id: str,
    nr_concats: Sequence[int],
    statistics: Sequence[PartStatistics],
    tokenizer: str | None,
) -> None:
    """Write the card of one branch, "main" or "parquet", into its folder."""
    from huggingface_hub import DatasetCardData

    module = builder_module(dataset)
    languages = list(module.SOURCES) if dataset == "xquad_long" else ["en"]
    default = 3 if 3 in nr_concats else nr_concats[0]
    parquet = configurations(dataset, nr_concats)
    first = next(iter(parquet)).split(".")[0]
    if branch == "main":
        # With splits or features in the card, `datasets` would skip the script's own checks.
        names = ["all", *languages] if dataset == "xquad_long" else ["squad"]
        configs = [_config(name, name == first) for name in names]
    else:
        configs = [
            _config(name, name == f"{first}.{default}", [{"split": s, "path": path} for s, path in files.items()])
            for name, files in parquet.items()
        ]
    rows = sum(part.rows for part in statistics if part.nr_concats == nr_concats[0])
    data = DatasetCardData(
        pretty_name="XQ3 (long XQuAD)" if dataset == "xquad_long" else "SQ3 (long SQuAD)",
        language=languages,
        license="cc-by-sa-4.0",
        multilinguality="multilingual" if len(languages) > 1 else "monolingual",
        task_categories=["question-answering"],
        task_ids=["extractive-qa"],
        size_categories=[size_category(rows)],
        source_datasets=[f"extended|{'xquad' if dataset == 'xquad_long' else 'squad'}"],
        annotations_creators=["crowdsourced"],
        tags=["long-context", "longformer"],
        # The Hub's viewer runs no scripts. It shows the branch `parquet`.
        viewer=False if branch == "main" else None,
        configs=configs,
    )
    cards.write_card(
        folder,
        data,
        TEMPLATE,
        dataset=dataset,
        branch=branch,
        repo_id=repo_id,
        languages=languages,
        nr_concats=nr_concats,
        example=f"{'en' if dataset == 'xquad_long' else 'squad'}.{default}",
        statistics=statistics,
        tokenizer=tokenizer,
        sources=sources(dataset),
        citation=module.CITATION,
    )


def _config(name: str, default: bool, data_files: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """One entry of `configs`, without what it does not say."""
    files = {"data_files": data_files} if data_files else {}
    return {"config_name": name, **({"default": True} if default else {}), **files}
