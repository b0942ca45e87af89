"""The model card: prose in card.md.j2, every fact from the source's card and the conversion's record."""

import shlex
from pathlib import Path
from typing import Any

from foundation import cards

from .families import AUTO_CLASSES
from .report import Report

TEMPLATE = Path(__file__).with_name("card.md.j2")
PIPELINES = {
    "LongformerForMaskedLM": "fill-mask",
    "LongformerForQuestionAnswering": "question-answering",
    "LongformerForSequenceClassification": "text-classification",
    "LongformerForTokenClassification": "token-classification",
}


def write_card(
    folder: Path,
    name: str,
    record: dict[str, Any],
    proof: Report | None,
    origin: dict[str, Any],
    before: Path | None = None,
) -> Path:
    """Write README.md into `folder`.

    Args:
        name: the Hub id, or the folder's name while there is none.
        record: what `convert` did, as in conversion_report.json.
        origin: licence, languages and base model of the source (`source.card_facts`).
        before: the card of an earlier conversion, whose owner's additions stay.
    """
    from huggingface_hub import ModelCardData

    windows = sorted(set(record["attention_window"]))
    sides = f"{windows[0] // 2} tokens" if len(windows) == 1 else f"{windows[0] // 2} to {windows[-1] // 2} tokens"
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=PIPELINES.get(record["architecture"], "feature-extraction"),
        tags=["longformer", "long-context"],
        **origin,
    )
    return cards.write_card(
        folder,
        data,
        TEMPLATE,
        before=before,
        name=name,
        record=record,
        proof=proof,
        command=command(record),
        auto_class=AUTO_CLASSES[record["architecture"]],
        window_text=f"{sides} to either side of it" + (", by layer" if len(windows) > 1 else ""),
    )


def command(record: dict[str, Any]) -> str:
    """The command line that makes the same conversion."""
    windows = record["attention_window"]
    given = windows[:1] if len(set(windows)) == 1 else windows
    words = ["python", "-m", "conversion.convert", "--model_name_or_path", record["source"]]
    if record["revision"]:
        words += ["--revision", record["revision"]]
    words += ["--output_dir", "long", "--max_pos", str(record["max_pos"])]
    if record["tile_from"]:
        words += ["--tile_from", str(record["tile_from"])]
    words += ["--attention_window", *map(str, given)]
    if record["cast"]:
        words += ["--dtype", record["dtype"]]
    return shlex.join(words)
