"""Masking for MLM: 15% of the tokens, of which 80% become [MASK], 10% another token and 10% stay (BERT, section 3.1).

With whole words it is 15% of the words, all tokens of each; what becomes of a token is drawn for each alone.

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
        self.special_ids, self.pad_id = np.array(tokenizer.all_special_ids), tokenizer.pad_token_id
        self.seed, self.probability = seed, probability

    def mask(self, ids: np.ndarray, epoch: int, word_starts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(input_ids, labels), both int64 [length]; labels are -100 where nothing is to be predicted.

        `word_starts` [length] is 1 where a token begins a word: then a word is masked whole or not at all.
        """
        rng = random_stream(self.seed, Use.MASK, epoch, zlib.crc32(ids.tobytes()))
        special = np.isin(ids, self.special_ids)
        drawn = rng.random(len(ids))
        if word_starts is not None:
            # The token after a special one starts a word too, since a sequence may begin in the middle of one.
            starts = (word_starts == 1) | special | np.roll(special, 1)
            drawn = drawn[starts][np.cumsum(starts) - 1]
        chosen = (drawn < self.probability) & ~special
        dice, others = rng.random(len(ids)), rng.integers(self.vocab_size, size=len(ids))
        replaced = np.where(dice < 0.8, self.mask_id, np.where(dice < 0.9, others, ids))
        labels = np.where(chosen, ids, IGNORED)
        return np.where(chosen, replaced, ids).astype(np.int64), labels.astype(np.int64)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Sequences, {"input_ids": [length], "epoch": int} and perhaps word_starts, as a batch [batch, longest]."""
        size = max(len(example["input_ids"]) for example in examples)
        input_ids = np.full((len(examples), size), self.pad_id if self.pad_id is not None else 0, np.int64)
        attention, labels = np.zeros_like(input_ids), np.full_like(input_ids, IGNORED)
        for row, example in enumerate(examples):
            ids = example["input_ids"]
            input_ids[row, : len(ids)], labels[row, : len(ids)] = self.mask(
                ids, example["epoch"], example.get("word_starts")
            )
            attention[row, : len(ids)] = 1
        batch = {"input_ids": input_ids, "attention_mask": attention, "labels": labels}
        return {name: torch.from_numpy(values) for name, values in batch.items()}
