"""Longformer's attention pattern as a few dense products: a band of keys around each query, and the global tokens.

    plan = make_plan(attention_mask, global_attention_mask, windows={256})    # once a forward
    context = banded_attention(query, key, value, plan, 256, dropout_p=0.0)   # every layer

Source of the pattern: Beltagy, Peters and Cohan, Longformer (arXiv 2004.05150), section 3.1; the conventions (which
token sees which, what a masked token yields) are those of transformers' LongformerSelfAttention.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Plan(NamedTuple):
    """What each token may see, the same for every layer.

    padding: (batch, length) bool, True where a token is masked; None when none is.
    slots: (batch, globals) positions of the global tokens; a row that has fewer fills up with positions that
        `used` marks False. None when no row has a global token.
    used: (batch, globals) bool.
    bands: one-sided window -> (batch or 1, blocks, queries, globals + keys) bool, True where a key is visible.
    """

    padding: Tensor | None
    slots: Tensor | None
    used: Tensor | None
    bands: dict[int, Tensor]


def make_plan(attention_mask: Tensor | None, length: int, windows: Iterable[int], device: torch.device) -> Plan:
    """Read Longformer's merged mask (batch, length): 0 masked, 1 local, 2 global; None is all local.

    `windows` holds the one-sided windows of the layers. On an accelerator this waits for the device once.
    """
    padding = slots = used = None
    visible = torch.ones(1, length, dtype=torch.bool, device=device)
    if attention_mask is not None:
        is_global = attention_mask == 2
        padding = attention_mask <= 0
        visible = ~(padding | is_global)
        count = is_global.sum(1).amax().item()
        if count:
            order = is_global.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
            slots = order[:, :count]
            used = is_global.gather(1, slots)
    bands = {window: _band(visible, used, window) for window in set(windows)}
    return Plan(padding, slots, used, bands)


def _band(visible: Tensor, used: Tensor | None, window: int) -> Tensor:
    length = visible.shape[1]
    block, blocks = _blocks(length, window)
    span = block + 2 * window
    distance = torch.arange(span, device=visible.device) - window - torch.arange(block, device=visible.device)[:, None]
    keys = F.pad(visible, (window, window + blocks * block - length)).unfold(1, span, block)
    # A masked query sees itself, so that no row of the softmax is empty; its output is cleared afterwards.
    band = (keys[:, :, None] & (distance.abs() <= window)) | (distance == 0)
    if used is None:
        return band
    return torch.cat([used[:, None, None].expand(-1, blocks, block, -1), band.expand(len(used), -1, -1, -1)], -1)


def _blocks(length: int, window: int) -> tuple[int, int]:
    """(queries a block, number of blocks): at most one window side a block, and as even as can be."""
    blocks = -(-length // window)
    return -(-length // blocks), blocks


def banded_attention(query: Tensor, key: Tensor, value: Tensor, plan: Plan, window: int, dropout_p: float) -> Tensor:
    """Attention of every token to its band and to the global tokens; (batch, length, heads, width) in and out.

    Rows of masked tokens are zero. Rows of global tokens hold what a local token would get: the caller overwrites them.
    """
    batch, length, heads, width = query.shape
    block, blocks = _blocks(length, window)
    span, extra = block + 2 * window, blocks * block - length
    query_blocks = F.pad(query, (0, 0, 0, 0, 0, extra)).view(batch, blocks, block, heads, width).transpose(2, 3)
    # (batch, blocks, heads, keys, width)
    key_blocks, value_blocks = (
        F.pad(x, (0, 0, 0, 0, window, window + extra)).unfold(1, span, block).transpose(3, 4) for x in (key, value)
    )
    if plan.slots is not None:
        index = plan.slots[:, :, None, None].expand(-1, -1, heads, width)
        key_blocks, value_blocks = (
            torch.cat([x.gather(1, index).transpose(1, 2)[:, None].expand(-1, blocks, -1, -1, -1), spans], 3)
            for x, spans in ((key, key_blocks), (value, value_blocks))
        )
    mask = plan.bands[window].expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    context = F.scaled_dot_product_attention(
        query_blocks.flatten(0, 1), key_blocks.flatten(0, 1), value_blocks.flatten(0, 1), mask, dropout_p
    )
    context = context.transpose(1, 2).reshape(batch, blocks * block, heads, width)[:, :length]
    return context if plan.padding is None else context.masked_fill(plan.padding[:, :, None, None], 0.0)
