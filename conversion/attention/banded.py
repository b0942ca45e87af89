"""Longformer's attention pattern as dense products: a band of keys around each query, and the global tokens.

    plan = make_plan(mask, (batch, length), {256}, device, "walk")           # once a forward
    context = banded_attention(query, key, value, plan, 256, dropout_p=0.0)  # every layer

The number of tokens that a query sees to either side is called `reach` here: half of the two-sided `attention_window`
of a config.

Source of the pattern: Beltagy, Peters and Cohan, Longformer (arXiv 2004.05150), section 3.1; the conventions (which
token sees which, what a masked token yields) are those of transformers' LongformerSelfAttention.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .banded_cpu import BandedAttention, Row, make_row
from .banded_gpu import BlockMask, fused_attention, make_block_mask

# A walk over blocks on a CPU, a fused kernel on an accelerator, one large product where neither is possible.
Way = Literal["walk", "kernel", "product"]


class GlobalTokens(NamedTuple):
    """Positions (batch, most of any row) of the global tokens; a row with fewer fills up where `used` is False."""

    positions: Tensor
    used: Tensor


class Plan(NamedTuple):
    """What each token may see, worked out once for every layer.

    padding: (batch, length) bool, True where a token is masked; None when none is.
    local: (batch or 1, length) bool, True where a token is neither masked nor global.
    global_tokens: None when no row has one.
    rows: for the walk; None for the other ways.
    block_masks: for the kernel, by reach; empty for the other ways.
    bands: for the product, by reach: (batch or 1, blocks, queries, globals + keys) bool, True where a key is visible.
    """

    padding: Tensor | None
    local: Tensor
    global_tokens: GlobalTokens | None
    rows: list[Row] | None
    block_masks: dict[int, BlockMask]
    bands: dict[int, Tensor]


def make_plan(
    mask: Tensor | None, shape: tuple[int, int], reaches: Iterable[int], device: torch.device, way: Way
) -> Plan:
    """Read Longformer's merged mask (batch, length): 0 masked, 1 local, 2 global; None is all local.

    `reaches` holds the layers' reaches. An accelerator is waited for once, and only if there is a mask.
    """
    padding: Tensor | None = None
    global_tokens = None
    kinds = torch.ones(shape, dtype=torch.int8, device=device)
    local = torch.ones(1, shape[1], dtype=torch.bool, device=device)
    if mask is not None:
        is_global, padding = mask == 2, mask <= 0
        local = ~(padding | is_global)
        kinds = local.to(torch.int8) + 2 * is_global.to(torch.int8)
        count = _most(is_global, unit=1 if way == "walk" else 8)  # few different sizes: each may be compiled anew
        # A compiled or exported graph has to serve any number of global tokens, so it has this part even for none.
        if torch.compiler.is_compiling() or count:
            # Global tokens first, in their order. ONNX has no stable sort, so other tokens get larger keys.
            every = torch.arange(shape[1], device=device)
            first = torch.where(is_global, every, every + shape[1]).topk(count, dim=1, largest=False).indices
            global_tokens = GlobalTokens(first, is_global.gather(1, first))
        if way == "walk" and not padding.any():
            padding = None
    if way == "walk":
        return Plan(padding, local, global_tokens, [make_row(row) for row in kinds], {}, {})
    if way == "kernel":
        block_masks = {reach: make_block_mask(kinds, reach) for reach in set(reaches)}
        return Plan(padding, local, global_tokens, None, block_masks, {})
    bands = {reach: _visible_keys(local, global_tokens, reach) for reach in set(reaches)}
    return Plan(padding, local, global_tokens, None, {}, bands)


def _most(marked: Tensor, unit: int) -> int:
    """The most True of any row, rounded up to a multiple of `unit`; 0 where there is none.

    In a graph that is being compiled or exported it is a symbol, and no break.
    """
    if not torch.compiler.is_compiling():
        return min(-(-int(marked.sum(1).amax()) // unit) * unit, marked.shape[1])
    least = min(2, marked.shape[1])  # inductor fails on products that may have a single row
    with torch._dynamo.patch_dynamo_config(capture_scalar_outputs=True):
        count: Any = marked.sum(1).amax(0).clamp(min=least).item()
    torch._check(count >= least)
    torch._check(count <= marked.shape[1])
    return count


def banded_attention(query: Tensor, key: Tensor, value: Tensor, plan: Plan, reach: int, dropout_p: float) -> Tensor:
    """Attention of every token to its band and to the global tokens; (batch, length, heads, width) in and out.

    The rows of masked and of global tokens are zero: what the latter gather is the caller's to add.
    """
    if plan.rows is not None and query.device.type == "cpu":
        return BandedAttention.apply(query, key, value, plan.rows, reach, dropout_p, partial(_as_one_product, plan))
    if reach in plan.block_masks and not dropout_p:
        context = fused_attention(query, key, value, plan.block_masks[reach])
        return context.masked_fill(~plan.local[:, :, None, None], 0.0)
    return _one_product(query, key, value, plan, reach, dropout_p)


def _one_product(query: Tensor, key: Tensor, value: Tensor, plan: Plan, reach: int, dropout_p: float) -> Tensor:
    batch, length, heads, width = query.shape
    query_blocks = _blocks(query, reach, around=0).transpose(2, 3)  # (batch, blocks, heads, queries, width)
    key_blocks, value_blocks = (_blocks(x, reach, around=1).transpose(2, 3) for x in (key, value))
    if plan.global_tokens is not None:
        index = plan.global_tokens.positions[:, :, None, None].expand(-1, -1, heads, width)
        key_blocks, value_blocks = (
            torch.cat([x.gather(1, index).transpose(1, 2)[:, None].expand(-1, spans.shape[1], -1, -1, -1), spans], 3)
            for x, spans in ((key, key_blocks), (value, value_blocks))
        )
    band = plan.bands[reach] if reach in plan.bands else _visible_keys(plan.local, plan.global_tokens, reach)
    visible = band.expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    context = F.scaled_dot_product_attention(
        query_blocks.flatten(0, 1), key_blocks.flatten(0, 1), value_blocks.flatten(0, 1), visible, dropout_p
    )
    every = torch.arange(length, device=query.device)
    context = context.transpose(1, 2).reshape(batch, -1, heads, width)[:, every]
    return context.masked_fill(~plan.local[:, :, None, None], 0.0)


def _as_one_product(plan: Plan, query: Tensor, key: Tensor, value: Tensor, reach: int) -> Tensor:
    """The walk's numbers by operations whose derivatives torch can take any number of times."""
    with sdpa_kernel(SDPBackend.MATH):
        return _one_product(query, key, value, plan, reach, 0.0)


def _blocks(x: Tensor, reach: int, around: int) -> Tensor:
    """Each block's own tokens (around=0), or with the blocks before and behind it (1): (batch, blocks, tokens, …)."""
    length = x.shape[1]
    if torch.compiler.is_exporting():
        return x[:, _positions(length, reach, x.device)[around].clamp(0, length - 1)]
    # Slices and not indices: their gradient is a sum of slices, while that of indices sorts them first.
    filled = F.pad(x, (0, 0, 0, 0, around * reach, around * reach + -length % reach))
    blocks = filled.unflatten(1, (-1, reach))
    if not around:
        return blocks
    return torch.cat([blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]], dim=2)


def _visible_keys(local: Tensor, global_tokens: GlobalTokens | None, reach: int) -> Tensor:
    length = local.shape[1]
    queries, keys = _positions(length, reach, local.device)
    seen = local[:, keys.clamp(0, length - 1)] & (keys >= 0) & (keys < length)
    distance = (keys[:, None] - queries[:, :, None]).abs()
    # Every query sees itself, so that no row of the softmax is empty. The rows of tokens that are not local are cleared
    # later.
    band = (seen[:, :, None] & (distance <= reach)) | (distance == 0)
    if global_tokens is None:
        return band
    used = global_tokens.used[:, None, None].expand(-1, band.shape[1], reach, -1)
    return torch.cat([used, band.expand(used.shape[0], -1, -1, -1)], -1)


def _positions(length: int, reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions, some beyond the ends, of each block's queries (blocks, reach) and keys (blocks, 3 reaches).

    An exported graph takes its blocks by these indices too, because reshaping would tie it to one length; and there is
    a block too many in it, because a graph made for several blocks refuses a single one.
    """
    beyond = reach if torch.compiler.is_exporting() else 0
    starts = torch.arange(0, length + beyond, reach, device=device)[:, None]
    queries, keys = torch.arange(reach, device=device), torch.arange(-reach, 2 * reach, device=device)
    return starts + queries, starts + keys
