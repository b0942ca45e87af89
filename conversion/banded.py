"""Longformer's attention pattern as dense products: a band of keys around each query, and the global tokens.

    plan = make_plan(mask, (batch, length), windows={256}, device=device)    # once a forward
    context = banded_attention(query, key, value, plan, 256, dropout_p=0.0)  # every layer

Source of the pattern: Beltagy, Peters and Cohan, Longformer (arXiv 2004.05150), section 3.1; the conventions (which
token sees which, what a masked token yields) are those of transformers' LongformerSelfAttention.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .banded_cpu import BandedAttention, Row, make_row


class GlobalTokens(NamedTuple):
    """Positions (batch, most of any row) of the global tokens; a row with fewer fills up where `used` is False."""

    positions: Tensor
    used: Tensor


class Plan(NamedTuple):
    """What each token may see, worked out once for every layer.

    padding: (batch, length) bool, True where a token is masked; None when none is.
    local: (batch or 1, length) bool, True where a token is neither masked nor global.
    global_tokens: None when no row has one.
    rows: for the walk over blocks on a CPU; None for the one large product elsewhere, which has
    bands: one-sided window -> (batch or 1, blocks, queries, globals + keys) bool, True where a key is visible.
    """

    padding: Tensor | None
    local: Tensor
    global_tokens: GlobalTokens | None
    rows: list[Row] | None
    bands: dict[int, Tensor]


def make_plan(mask: Tensor | None, shape: tuple[int, int], windows: Iterable[int], device: torch.device) -> Plan:
    """Read Longformer's merged mask (batch, length): 0 masked, 1 local, 2 global; None is all local.

    `windows` holds the layers' one-sided windows. An accelerator is waited for once, and only if there is a mask.
    """
    walks = device.type == "cpu" and not torch.compiler.is_compiling()
    padding: Tensor | None = None
    global_tokens = None
    local = torch.ones(1, shape[1], dtype=torch.bool, device=device)
    if mask is not None:
        is_global, padding = mask == 2, mask <= 0
        local = ~(padding | is_global)
        count = is_global.sum(1).amax().item()
        if count:
            first = is_global.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
            global_tokens = GlobalTokens(first, is_global.gather(1, first))
        if walks and not padding.any():
            padding = None
    if walks:
        every = torch.ones(shape, dtype=torch.long) if mask is None else mask
        return Plan(padding, local, global_tokens, [make_row(row) for row in every], {})
    return Plan(padding, local, global_tokens, None, {w: _visible_keys(local, global_tokens, w) for w in set(windows)})


def banded_attention(query: Tensor, key: Tensor, value: Tensor, plan: Plan, window: int, dropout_p: float) -> Tensor:
    """Attention of every token to its band and to the global tokens; (batch, length, heads, width) in and out.

    The rows of masked and of global tokens are zero: what the latter gather is the caller's to add.
    On a CPU this walks over blocks; elsewhere, and in compiled or exported code, it is one product over all of them.
    """
    if plan.rows is not None:
        return BandedAttention.apply(query, key, value, plan.rows, window, dropout_p)
    batch, length, heads, width = query.shape
    block, blocks = _blocks(length, window)
    span, extra = block + 2 * window, blocks * block - length
    query_blocks = F.pad(query, (0, 0, 0, 0, 0, extra)).view(batch, blocks, block, heads, width).transpose(2, 3)
    key_blocks, value_blocks = (  # (batch, blocks, heads, keys, width)
        F.pad(x, (0, 0, 0, 0, window, window + extra)).unfold(1, span, block).transpose(3, 4) for x in (key, value)
    )
    if plan.global_tokens is not None:
        index = plan.global_tokens.positions[:, :, None, None].expand(-1, -1, heads, width)
        key_blocks, value_blocks = (
            torch.cat([x.gather(1, index).transpose(1, 2)[:, None].expand(-1, blocks, -1, -1, -1), spans], 3)
            for x, spans in ((key, key_blocks), (value, value_blocks))
        )
    visible = plan.bands[window].expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    context = F.scaled_dot_product_attention(
        query_blocks.flatten(0, 1), key_blocks.flatten(0, 1), value_blocks.flatten(0, 1), visible, dropout_p
    )
    context = context.transpose(1, 2).reshape(batch, blocks * block, heads, width)[:, :length]
    return context.masked_fill(~plan.local[:, :, None, None], 0.0)


def _visible_keys(local: Tensor, global_tokens: GlobalTokens | None, window: int) -> Tensor:
    length = local.shape[1]
    block, blocks = _blocks(length, window)
    span = block + 2 * window
    distance = torch.arange(span, device=local.device) - window - torch.arange(block, device=local.device)[:, None]
    keys = F.pad(local, (window, window + blocks * block - length)).unfold(1, span, block)
    # Every query sees itself, so that no row of the softmax is empty; what is not local is cleared afterwards.
    band = (keys[:, :, None] & (distance.abs() <= window)) | (distance == 0)
    if global_tokens is None:
        return band
    used = global_tokens.used[:, None, None].expand(-1, blocks, block, -1)
    return torch.cat([used, band.expand(len(used), -1, -1, -1)], -1)


def _blocks(length: int, window: int) -> tuple[int, int]:
    """(queries a block, number of blocks): at most one window side a block, and as even as can be."""
    blocks = -(-length // window)
    return -(-length // blocks), blocks
