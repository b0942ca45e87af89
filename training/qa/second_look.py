"""A second look: the likeliest places of a long document are read again, side by side.

Beyond its window a token of a Longformer meets another one only through global tokens, and these are the question's.
What is said of a party on one page and what it owes on another meet in none of them. So a document may be read twice.
After the first reading its likeliest places are cut out and read again behind the question, as one short text in which
every token sees every other (Longformer paper, section 3.1: all of them global). However far apart two places stand,
there they are neighbours, and their order is that of the document. The weights are the same; they have to be trained so
(`finetune.py --second_look`). Both readings count alike: the first knows the text around a place, the second the other
places. Where the first cannot tell two places apart, the second decides.

A place is likely for one of two reasons: it shares words with the question that are rare in the document, or the first
reading finds an answer there. The first half of the places are of the first kind, as far as there are shared words.
"""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel

from foundation.cli import UserError
from foundation.files import read_json, write_atomically
from foundation.model_files import READING

AROUND = 12  # tokens to either side of a place's middle: a short sentence
LONGEST = 30  # tokens of the spans that make a place likely
MOST = 32  # places; more would be most of a short document
NEVER = float("-inf")  # logit of a token that was not read again: it begins and ends no answer


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
        raise UserError(f"{said_by} {places!r} is no number of places: give 0 to {MOST}, 16 for example")
    if places and model.config.model_type != "longformer":
        raise UserError(
            f"{said_by} {places} is for Longformers, in which chosen tokens see the whole text, and this model is of "
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


def answer_scores(
    start_logits: torch.Tensor, end_logits: torch.Tensor, document: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The score of the best span that begins at each token, and how many tokens it goes on: both (sequences, tokens).

    Args:
        start_logits, end_logits, document: (sequences, tokens); `document` is True where an answer may be.
    """
    outside = torch.finfo(torch.float32).min
    ends = end_logits.float().masked_fill(~document, outside)
    beyond = ends.new_full((len(ends), LONGEST - 1), outside)
    best = torch.cat([ends, beyond], 1).unfold(1, LONGEST, 1).max(-1)
    return start_logits.float() + best.values, best.indices


def word_scores(input_ids: torch.Tensor, question: torch.Tensor, document: torch.Tensor) -> torch.Tensor:
    """How much of the question stands around each token: (sequences, tokens), 0 where nothing does.

    A document token that the question has too counts with log(tokens of the document / times it stands there), less the
    farther it is, and nothing beyond AROUND.

    Args:
        input_ids, question, document: (sequences, tokens); the latter are True on the question and on the document.
    """
    weights = torch.zeros(input_ids.shape, device=input_ids.device)
    for row, ids in enumerate(input_ids):
        words, place, times = ids[document[row]].unique(return_inverse=True, return_counts=True)
        rare = torch.log(document[row].sum() / times)
        weights[row, document[row]] = (rare * torch.isin(words, ids[question[row]]))[place]
    nearness = 1 - torch.arange(-AROUND, AROUND + 1, device=weights.device).abs() / (AROUND + 1)
    with torch.autocast(weights.device.type, enabled=False):
        scores = torch.nn.functional.conv1d(weights[:, None], nearness[None, None], padding=AROUND)[:, 0]
    return scores.round(decimals=3)  # in the place of ties that the order of summation breaks


def likely_places(
    words: torch.Tensor, answers: tuple[torch.Tensor, torch.Tensor], document: torch.Tensor, places: int
) -> torch.Tensor:
    """True on the surroundings of the likeliest places of each sequence, whose middles lie more than AROUND apart.

    An answer's middle is its first token, and all of it belongs to its place.

    Args:
        words, answers: (sequences, tokens), of `word_scores` and `answer_scores`.
        document: (sequences, tokens), True where a place may be.
    """
    answer, more = answers
    positions = torch.arange(document.shape[1], device=document.device)
    found, left = torch.zeros_like(document), document.clone()
    for number in range(places):
        shared = words.masked_fill(~left, 0)
        by_words = (number < places // 2) & (shared > 0).any(1, keepdim=True)
        middle = torch.where(by_words, shared, answer.masked_fill(~left, -torch.inf)).argmax(1, keepdim=True)
        after = more.gather(1, middle).clamp(min=AROUND).masked_fill(by_words, AROUND)
        near = (positions >= middle - AROUND) & (positions <= middle + after)
        found |= near & left.any(1, keepdim=True)
        left &= ~near
    return found & document


def read(
    model: Any, batch: dict[str, torch.Tensor], places: int, seen: torch.Tensor | None = None, **options: Any
) -> Any:
    """The model's output for a batch of `collate`, after a second look if `places` is above 0.

    A document of no more tokens than its places could have is read once. Of the others the logits are the mean of both
    readings', and NEVER on what the second left out.

    Args:
        batch: on the model's device.
        seen: (sequences, tokens), True on what the second reading must not leave out, with its surroundings. It is for
            training: the logits are then the second reading's alone.
        options: more keywords of the model's forward.
    """
    if not places:
        return model(**batch, **options)
    attended, question = batch["attention_mask"] > 0, batch["global_attention_mask"] > 0
    document = attended & ~question
    document &= torch.nn.functional.pad(attended[:, 1:], (0, 1))  # without the last token, which closes the sequence
    long = document.sum(1, keepdim=True) > places * (2 * AROUND + 1)
    if not long.any() and not _one_of_several():
        return model(**batch, **options)
    with torch.no_grad():
        first = model(**batch)
    words = word_scores(batch["input_ids"], question, document)
    likely = likely_places(words, answer_scores(first.start_logits, first.end_logits, document), document, places)
    kept = attended & (~document | likely | ~long)
    if seen is not None:
        seen = (seen & document).float()
        around = torch.nn.functional.max_pool1d(seen[:, None], 2 * AROUND + 1, 1, AROUND)[:, 0]
        kept |= (around > 0) & document
    batch = {**batch, "global_attention_mask": batch["global_attention_mask"] | long.long()}
    filled, short = cut_out(batch, kept, long, extract_model_from_parallel(model).config.pad_token_id)
    outputs = model(**short, **options)
    for name in ("start_logits", "end_logits"):
        logits = outputs[name]
        again = logits.new_full(kept.shape, NEVER).masked_scatter(kept, logits[filled])
        outputs[name] = torch.where(long, (first[name] + again) / 2, again) if seen is None else again
    return outputs


def cut_out(
    batch: dict[str, torch.Tensor], kept: torch.Tensor, anew: torch.Tensor, pad_token_id: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The kept tokens of each sequence, in order and padded: where they stand, and the batch of them.

    Both are (sequences, most kept of any). Where `anew` (sequences, 1), positions are counted from the beginning.
    """
    # A stable sort brings the kept ones to the front and leaves their order alone.
    where = (~kept).to(torch.uint8).sort(dim=1, stable=True).indices[:, : int(kept.sum(1).max())]
    filled = kept.gather(1, where)
    short = {name: tensor.gather(1, where) * filled for name, tensor in batch.items()}
    if "position_ids" in short:
        short["position_ids"] = torch.where(anew, filled.cumsum(1) + pad_token_id, short["position_ids"])
    for name in {"input_ids", "position_ids"} & short.keys():
        short[name] = short[name].masked_fill(~filled, pad_token_id)
    return filled, short


def _one_of_several() -> bool:
    """Whether other processes run this model too: a sharded model's forward needs all of them as many times."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
