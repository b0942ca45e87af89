"""Question-answering data sets on the Hub: rows with SQuAD's columns, or one sentence on why not."""

from typing import TYPE_CHECKING

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions

from .sources import Source

if TYPE_CHECKING:
    import datasets


def load_hub(hub_id: str, config: str | None, split: str, source: Source | None = None) -> "datasets.Dataset":
    """One split of a data set, by its id or as a `source` of ours. Raises UserError when it cannot be had."""
    import datasets
    from huggingface_hub.errors import HTTPError

    # A Parquet copy of the Hub has no card that names configurations. Each is a folder there.
    copy = source.revision if source else None
    where = {"data_dir": config, "revision": copy} if copy else {"name": config}
    try:
        return datasets.load_dataset(hub_id, split=split, **where)
    except (datasets.exceptions.DatasetsError, ConnectionError, HTTPError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        mend = "give --data_dir with its official files" if source else "check its id, configuration and split"
        raise UserError(f"data set {hub_id!r} cannot be loaded from the Hub ({reason}): {mend}") from error


def load_published(name: str, split: str, language: str | None, options: ConcatOptions) -> "datasets.Dataset":
    """SQ3 or XQ3 from a repository that `hub_datasets.publish` made: its own rules join the paragraphs."""
    import datasets

    multilingual = name.endswith("xquad_long")
    configurations = (language or "en").split(",") if multilingual else [None]
    parts = [hub_datasets.load_dataset(name, each, split=split, **vars(options)) for each in configurations]
    rows = datasets.concatenate_datasets(parts)
    return rows if multilingual else rows.add_column("language", [language or "en"] * len(rows))
