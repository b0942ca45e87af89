"""The dataset card: prose in `dataset_card.md.j2`, figures from what was built."""

from collections.abc import Sequence
from pathlib import Path

from foundation.files import write_atomically

from .catalogue import builder_module, configurations, sources
from .fingerprint import PartStatistics

# The Hub's own size classes, by rows of the largest configuration.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(
    target: Path,
    dataset: str,
    branch: str,
    repo_id: str,
    nr_concats: Sequence[int],
    statistics: Sequence[PartStatistics],
    tokenizer: str | None,
) -> None:
    """Write the card of one branch, "main" or "parquet"."""
    import jinja2

    template = Path(__file__).with_name("dataset_card.md.j2").read_text(encoding="utf-8")
    module = builder_module(dataset)
    languages = list(module.SOURCES) if dataset == "xquad_long" else ["en"]
    default = 3 if 3 in nr_concats else nr_concats[0]
    parquet = configurations(dataset, nr_concats)
    first = next(iter(parquet)).split(".")[0]
    if branch == "main":
        # No splits and no features here: they would make `datasets` pass over the script's own checks.
        names = ["all", *languages] if dataset == "xquad_long" else ["squad"]
        configs = [{"name": name, "default": name == first} for name in names]
    else:
        configs = [
            {"name": name, "data_files": files, "default": name == f"{first}.{default}"}
            for name, files in parquet.items()
        ]
    rows = sum(part.rows for part in statistics if part.nr_concats == nr_concats[0])
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    card = environment.from_string(template).render(
        dataset=dataset,
        branch=branch,
        repo_id=repo_id,
        pretty_name="XQ3 (long XQuAD)" if dataset == "xquad_long" else "SQ3 (long SQuAD)",
        source_dataset="xquad" if dataset == "xquad_long" else "squad",
        languages=languages,
        size_category=next(name for limit, name in _SIZES if rows < limit),
        configs=configs,
        nr_concats=nr_concats,
        example=f"{'en' if dataset == 'xquad_long' else 'squad'}.{default}",
        statistics=statistics,
        tokenizer=tokenizer,
        sources=sources(dataset),
        citation=module.CITATION,
    )
    write_atomically(target, card)
