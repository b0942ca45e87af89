"""Training windows collated into tensors, and the loss on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.qa.windows import Window, collate

from .features import NO_ANSWER

IGNORED = -100  # in the place of a gold position, where a window has fewer than others of its batch


@dataclass
class TrainCollator:
    """Pad features into a batch for `span_loss`.

    Args:
        random_positions: share of the windows whose document is put at a random offset in the position table, so that
            every tiled position row is trained at the price of short examples. Longformer only.
        positions: tokens that the model's position table holds.
    """

    config: Any
    pad_token_id: int
    positions: int
    random_positions: float = 0.0

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Returns the model's inputs (windows, tokens), and `starts`, `ends` (windows, golds) padded with IGNORED,
        `allowed` (windows, tokens), True on the document and on the first token, and `paragraph`, True on the answer's
        paragraph."""
        windows = [
            Window(np.asarray(f["input_ids"], dtype=np.int32), f["prefix_length"], 0, f["document_length"])
            for f in features
        ]
        batch = collate(windows, self.config, self.pad_token_id)
        width = batch["input_ids"].shape[1]
        positions = torch.arange(width)
        prefixes = torch.tensor([w.prefix_length for w in windows])[:, None]
        if self.config.model_type == "longformer" and self.random_positions > 0:
            batch["position_ids"] = self._position_ids(features, positions, prefixes)
        ends = prefixes + torch.tensor([w.document_length for w in windows])[:, None]
        batch["allowed"] = ((positions >= prefixes) & (positions < ends)) | (positions == NO_ANSWER)
        first, last = torch.tensor([f["paragraph"] for f in features]).unbind(dim=1)
        batch["paragraph"] = (positions >= first[:, None]) & (positions <= last[:, None]) & (last[:, None] > NO_ANSWER)
        for name in ("starts", "ends"):
            golds = [torch.tensor(f[name]) for f in features]
            batch[name] = torch.nn.utils.rnn.pad_sequence(golds, batch_first=True, padding_value=IGNORED)
        return batch

    def _position_ids(
        self, features: Sequence[Mapping[str, Any]], positions: torch.Tensor, prefixes: torch.Tensor
    ) -> torch.Tensor:
        """Longformer's own numbering (from pad_token_id + 1; padding stays at pad_token_id), documents moved."""
        # A `place` below the share moves the window. Divided by the share it is in [0, 1), and says how far.
        share = self.random_positions
        offsets = [
            int(f["place"] / share * (self.positions - f["length"] + 1)) if f["place"] < share else 0 for f in features
        ]
        moved = positions + torch.where(positions >= prefixes, torch.tensor(offsets)[:, None], 0)
        lengths = torch.tensor([f["length"] for f in features])[:, None]
        first = self.config.pad_token_id + 1
        return torch.where(positions < lengths, moved + first, self.config.pad_token_id)


def span_loss(outputs: Any, starts: torch.Tensor, ends: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Mean over the windows of -log P(any gold start) and -log P(any gold end), averaged.

    With one gold span this is the usual cross-entropy; with several it is the "OR" loss of the Longformer paper
    (appendix, TriviaQA) after Clark and Gardner (2018). The softmax runs over the tokens that can be an answer.
    """
    losses = []
    for logits, gold in ((outputs.start_logits, starts), (outputs.end_logits, ends)):
        log_p = logits.float().masked_fill(~allowed, float("-inf")).log_softmax(dim=-1)
        at_gold = log_p.gather(1, gold.clamp(min=0)).masked_fill(gold == IGNORED, float("-inf"))
        losses.append(-at_gold.logsumexp(dim=-1))
    return (losses[0] + losses[1]).mean() / 2


def gold_places(starts: torch.Tensor, ends: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """(windows, tokens), True where any gold span begins or ends, `NO_ANSWER` among them."""
    golds = torch.cat([starts, ends], dim=1)
    times = torch.zeros_like(allowed, dtype=torch.long).scatter_add(1, golds.clamp(min=0), (golds != IGNORED).long())
    return times > 0
