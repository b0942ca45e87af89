"""Loss, perplexity and bits_per_byte of a masked language model, of the same masked tokens at several lengths.

Each packed sequence is masked once; a shorter length then cuts the masked sequence into pieces, each with its own
[CLS] and [SEP]. What is predicted is the same, only the context differs: a model that uses its long context has the
lower loss at the full length. bits_per_byte divides by the bytes of text behind the predicted tokens, so figures of
models with different tokenizers compare.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .loss import IGNORED
from .masking import Masker
from .packing import PackedText

if TYPE_CHECKING:
    from accelerate import Accelerator

MASK_SEED = 0  # for every evaluation, so that all runs predict the same tokens


@dataclass
class Scores:
    """Sums over predicted tokens: negative log-likelihood in nats, tokens, bytes of text."""

    nats: float
    tokens: float
    text_bytes: float

    def metrics(self, prefix: str, suffix: str) -> dict[str, float]:
        loss = self.nats / self.tokens
        return {
            f"{prefix}_loss{suffix}": loss,
            f"{prefix}_perplexity{suffix}": math.exp(min(loss, 700)),
            f"{prefix}_bits_per_byte{suffix}": self.nats / math.log(2) / self.text_bytes,
        }


@dataclass
class Pieces:
    """Sequences cut to one length, padded: three int64 arrays [pieces, length] and the bytes behind the predictions."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    labels: np.ndarray
    text_bytes: int


def cut(input_ids: np.ndarray, labels: np.ndarray, n_bytes: np.ndarray, length: int, pad_id: int) -> Pieces:
    """One masked sequence [CLS] ... [SEP] as pieces of at most `length`, framed by its own first and last id."""
    body = length - 2
    starts = range(1, len(input_ids) - 1, body)
    ids = np.full((len(starts), length), pad_id, np.int64)
    attention = np.zeros_like(ids)
    targets = np.full_like(ids, IGNORED)
    for row, start in enumerate(starts):
        end = min(start + body, len(input_ids) - 1)
        size = end - start
        ids[row, 0], ids[row, 1 : size + 1], ids[row, size + 1] = input_ids[0], input_ids[start:end], input_ids[-1]
        attention[row, : size + 2] = 1
        targets[row, 1 : size + 1] = labels[start:end]
    return Pieces(ids, attention, targets, int(n_bytes[labels != IGNORED].sum()))


@torch.no_grad()
def score(
    model: Any,
    packed: PackedText,
    sequences: int,
    tokenizer: Any,
    accelerator: "Accelerator",
    *,
    length: int,
    batch_size: int,
) -> Scores:
    """Scores of the first `sequences` packed sequences at `length`, over all processes of `accelerator`.

    `batch_size` counts sequences of the packed length, so that a batch holds as many tokens at any length. Every
    process makes equally many steps, the last ones on nothing where sequences are short: a sharded model's forward
    is a collective operation.
    """
    masker = Masker(tokenizer, MASK_SEED)
    step = batch_size * accelerator.num_processes
    sums = torch.zeros(3, dtype=torch.float64)
    first = accelerator.process_index * batch_size
    progress = tqdm(
        range(0, sequences, step), desc=f"scoring at {length}", disable=not accelerator.is_main_process, leave=False
    )
    for start in progress:
        rows = [packed[i] for i in range(start + first, start + first + batch_size) if i < sequences]
        nothing = not rows
        masked = [
            (*masker.mask(row["input_ids"], 0, row.get("word_starts")), row["n_bytes"]) for row in (rows or [packed[0]])
        ]
        pieces = [cut(ids, labels, n_bytes, length, tokenizer.pad_token_id) for ids, labels, n_bytes in masked]
        ids, attention, labels = (
            torch.from_numpy(np.concatenate([getattr(piece, name) for piece in pieces])).to(accelerator.device)
            for name in ("input_ids", "attention_mask", "labels")
        )
        if nothing:
            labels.fill_(IGNORED)
        with accelerator.autocast():
            nats: Tensor = model(input_ids=ids, attention_mask=attention, labels=labels, num_items_in_batch=1).loss
        text_bytes = 0 if nothing else sum(piece.text_bytes for piece in pieces)
        sums += torch.tensor([nats.item(), int((labels != IGNORED).sum()), text_bytes], dtype=torch.float64)
    if accelerator.num_processes > 1:
        sums = accelerator.reduce(sums.to(accelerator.device), "sum")
    return Scores(*sums.tolist())
