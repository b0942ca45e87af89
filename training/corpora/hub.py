"""Question-answering data sets on the Hub: rows with SQuAD's columns, or one sentence on why not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions, Paragraph, Question

from .sources import Source

COLUMNS = ("id", "context", "question", "answers")


def load_hub(hub_id: str, config: str | None, split: str, source: Source | None = None) -> Any:
    """One split of a data set, by its id or as a `source` of ours. Raises UserError when it cannot be had."""
    import datasets
    from huggingface_hub.errors import HTTPError

    # The Hub's Parquet copies hold a folder for each configuration, and no card that would name them.
    copy = source.revision if source else None
    where = {"data_dir": config, "revision": copy} if copy else {"name": config}
    try:
        rows = datasets.load_dataset(hub_id, split=split, **where)
    except (datasets.exceptions.DatasetsError, ConnectionError, HTTPError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        mend = "give --data_dir with its official files" if source else "check its id, configuration and split"
        raise UserError(f"data set {hub_id!r} cannot be loaded from the Hub ({reason}): {mend}") from error
    check_columns(rows.column_names if source is None or source.metric != "triviaqa" else COLUMNS, hub_id)
    return rows


def load_published(name: str, split: str, language: str | None, options: ConcatOptions) -> Any:
    """SQ3 or XQ3 from a repository that `hub_datasets.publish` made: its own rules join the paragraphs."""
    import datasets

    multilingual = name.endswith("xquad_long")
    configurations = (language or "en").split(",") if multilingual else [None]
    parts = [hub_datasets.load_dataset(name, each, split=split, **vars(options)) for each in configurations]
    rows = datasets.concatenate_datasets(parts)
    return rows if multilingual else rows.add_column("language", [language or "en"] * len(rows))


def check_columns(columns: Sequence[str], source: str) -> None:
    """A UserError that names the first of SQuAD's columns that is not among `columns`."""
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UserError(
            f"{source!r} has no column {missing[0]!r} (it has {', '.join(columns)}): SQuAD's columns are needed, "
            "id, context, question and answers"
        )


def paragraphs_of(rows: Iterable[Mapping[str, Any]], source: str) -> list[Paragraph]:
    """Flat rows as paragraphs of one question each; `concatenate` joins neighbours with the same context."""
    paragraphs: list[Paragraph] = []
    for number, row in enumerate(rows):
        title = row.get("title") or ""
        article = 0 if not paragraphs else paragraphs[-1].article + (title != paragraphs[-1].title)
        answers = row["answers"] if isinstance(row["answers"], Mapping) else {}
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not (isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)):
            raise UserError(
                f"{source!r}, row {number}: answers is no object with the lists text and answer_start, of one length"
            )
        question = Question(str(row["id"]), row["question"], texts, starts)
        paragraphs.append(Paragraph(article, title, row["context"], [question]))
    return paragraphs
