"""Masking for MLM: 15% of the tokens, of which 80% become [MASK], 10% another token and 10% stay (BERT, section 3.1).

A mask depends on the seed, the epoch and the sequence's own tokens, and on nothing else: not on the order of the data,
the batch, the worker or the process. So two processes mask as one does, and a resumed run as an uninterrupted one.
"""

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foundation.cli import UserError
from training.runs.randomness import Use, random_stream

from .loss import IGNORED


class Masker:
    """Turns packed sequences into MLM examples; also the collator of the training loader."""

    def __init__(self, tokenizer: Any, seed: int, probability: float = 0.15):
        if tokenizer.mask_token_id is None:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path!r} has no [MASK] token, so MLM cannot use it")
        if not 0 < probability < 1:
            raise UserError(f"--mlm_probability {probability} is not between 0 and 1: 0.15 is usual")
        self.mask_id, self.vocab_size = tokenizer.mask_token_id, len(tokenizer)
        self.special_ids = np.array(tokenizer.all_special_ids)
        self.seed, self.probability = seed, probability

    def mask(self, ids: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(input_ids, labels), both int64 [length]; labels are -100 where nothing is to be predicted."""
        rng = random_stream(self.seed, Use.MASK, epoch, zlib.crc32(ids.tobytes()))
        chosen = (rng.random(len(ids)) < self.probability) & ~np.isin(ids, self.special_ids)
        dice, others = rng.random(len(ids)), rng.integers(self.vocab_size, size=len(ids))
        replaced = np.where(dice < 0.8, self.mask_id, np.where(dice < 0.9, others, ids))
        labels = np.where(chosen, ids, IGNORED)
        return np.where(chosen, replaced, ids).astype(np.int64), labels.astype(np.int64)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Sequences of one length, {"input_ids": [length], "epoch": int}, as a batch [batch, length]."""
        masked = [self.mask(example["input_ids"], example["epoch"]) for example in examples]
        input_ids, labels = (torch.from_numpy(np.stack(rows)) for rows in zip(*masked, strict=True))
        return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}
