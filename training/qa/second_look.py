"""A second look: the places that a first reading finds likely see the whole document before they are judged again.

Beyond its window a token of a Longformer meets another one only through global tokens, and these are the question's.
What is said of a party on one page and what it owes on another meet in none of them. So a document may be read twice:
the likeliest places of the first reading get global attention too, and the second reading's logits count. The weights
are the same; they have to be trained so (`finetune.py --second_look`). It is Longformer's own mechanism (paper, section
3.1), with the tokens chosen by the model in the place of the task.
"""

import json
from pathlib import Path
from typing import Any

import torch

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from foundation.model_files import READING

AROUND = 20  # tokens to either side of a place's first one: about a sentence
LONGEST = 30  # tokens of the spans that make a place likely
MOST = 32  # places; more would be most of a short document


def places_of(model: Any) -> int:
    """How many places `model` looks at again; 0 where it reads once."""
    return getattr(model.config, "second_look", 0)


def set_places(model: Any, places: int, said_by: str = "--second_look") -> None:
    """Let `model` look again at so many places; 0 lets it read once.

    Args:
        said_by: the flag or the file that gave the number.

    Raises:
        UserError: a number out of range, or a model without global attention.
    """
    if type(places) is not int or not 0 <= places <= MOST:
        raise UserError(f"{said_by} {places!r} is no number of places: give 0 to {MOST}, 6 for example")
    if places and model.config.model_type != "longformer":
        raise UserError(
            f"{said_by} {places} is for Longformers, whose places may see the whole document, and this model is of "
            f"type {model.config.model_type}: leave it out"
        )
    if places != places_of(model):
        model.config.second_look = places


def read_places(path: Path | None) -> int | None:
    """What an adapter's reading.json says; None where there is no such file."""
    if path is None:
        return None
    places = read_json(path, "the reading beside the adapter", dict).get("second_look")
    if type(places) is not int:
        raise UserError(f"{str(path)!r} has no whole number second_look: write it, or remove the file")
    return places


def write_places(model: Any, folder: Path) -> None:
    """Write reading.json beside an adapter; none where neither its base nor its training has said anything."""
    if hasattr(model.config, "second_look"):
        write_atomically(folder / READING, json.dumps({"second_look": places_of(model)}) + "\n")


def likely_places(
    start_logits: torch.Tensor, end_logits: torch.Tensor, document: torch.Tensor, places: int
) -> torch.Tensor:
    """True on the surroundings of the `places` likeliest answers of each sequence, none within AROUND of another.

    Args:
        start_logits, end_logits, document: (sequences, tokens); `document` is True where an answer may be.
    """
    outside = torch.finfo(torch.float32).min
    starts = start_logits.float().masked_fill(~document, outside)
    ends = end_logits.float().masked_fill(~document, outside)
    beyond = ends.new_full((len(ends), LONGEST - 1), outside)
    scores = starts + torch.cat([ends, beyond], 1).unfold(1, LONGEST, 1).amax(-1)
    positions = torch.arange(starts.shape[1], device=starts.device)
    found, left = torch.zeros_like(document), document.clone()
    for _ in range(places):
        first = scores.masked_fill(~left, -torch.inf).argmax(1, keepdim=True)
        near = (positions - first).abs() <= AROUND
        found |= near & left.any(1, keepdim=True)
        left &= ~near
    return found & document


def read(model: Any, batch: dict[str, torch.Tensor], places: int, **options: Any) -> Any:
    """The model's output for a batch of `collate`, after a second look if `places` is above 0.

    Args:
        batch: on the model's device.
        options: more keywords of the model's forward.
    """
    if places:
        with torch.no_grad():
            first = model(**batch)
        asked, attended = batch["global_attention_mask"], batch["attention_mask"] > 0
        inside = torch.nn.functional.pad(attended[:, 1:], (0, 1))  # without the last token, which closes the sequence
        seen = likely_places(first.start_logits, first.end_logits, inside & (asked == 0), places)
        batch = {**batch, "global_attention_mask": asked | seen.long()}
    return model(**batch, **options)
