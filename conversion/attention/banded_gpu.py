"""The band for accelerators: one fused kernel, forward and backward, by torch's FlexAttention.

The kernel goes over the blocks of keys that a block of queries can see, and no score leaves the chip. Which blocks
those are is worked out from the blocks' ends alone, so that no square of tokens is ever made; inside a block that is
seen in part `mask_mod` decides. FlexAttention has no dropout: the caller takes another way where there is some.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

ACCELERATORS = ("cuda", "xpu")


def make_block_mask(mask: Tensor, reach: int) -> BlockMask:
    """What a query sees: the local keys within reach, every global key, and itself, so that no row is empty.

    Args:
        mask: (batch, length) int8, Longformer's merged mask: 0 masked, 1 local, 2 global.
    """
    batch, length = mask.shape
    size = 128 if reach >= 64 else 64
    count = max(2, -(-length // size))  # a kernel compiled for several blocks refuses a single one
    blocks = torch.nn.functional.pad(mask, (0, count * size - length)).view(batch, 1, count, size)
    number = torch.arange(count, device=mask.device)
    apart = (number[:, None] - number).abs()  # (blocks of queries, blocks of keys)
    every = (blocks == 2).all(-1)[:, :, None] | ((blocks > 0).all(-1)[:, :, None] & ((apart + 1) * size - 1 <= reach))
    some = ((apart - 1) * size < reach) & (blocks == 1).any(-1)[:, :, None]
    some = (some | (blocks == 2).any(-1)[:, :, None] | (apart == 0)) & ~every
    reach_there = torch.full((), reach, device=mask.device)  # with a plain number each reach is compiled anew

    def visible(b: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        kind = mask[b, key]
        return ((kind == 1) & ((query - key).abs() <= reach_there)) | (kind == 2) | (query == key)

    return BlockMask.from_kv_blocks(
        *_listed(some), *_listed(every), BLOCK_SIZE=size, mask_mod=visible, seq_lengths=(length, length)
    )


def _listed(seen: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries sees, and all their numbers, those first."""
    order = torch.argsort(seen.to(torch.int8), dim=-1, descending=True, stable=True)
    return seen.sum(-1, dtype=torch.int32), order.to(torch.int32)


def fused_attention(query: Tensor, key: Tensor, value: Tensor, visible: BlockMask) -> Tensor:
    """Attention to what is visible; (batch, length, heads, width) in and out."""
    attend = flex_attention if torch.compiler.is_compiling() else _kernel()
    heads = (x.transpose(1, 2) for x in (query, key, value))
    return attend(*heads, block_mask=visible).transpose(1, 2)


@cache
def _kernel() -> Any:
    # dynamic: one kernel for all lengths, and for all batches of more than one row. fullgraph: a failure raises, where
    # torch would silently compute all pairs of tokens.
    settings: dict[str, Any] = {"dynamic": True, "fullgraph": True, "recompile_limit": 64}
    return torch.compile(flex_attention, **settings)


@cache
def trouble(device: torch.device, dtype: torch.dtype, heads: int, width: int) -> str | None:
    """Why the kernel cannot be used there, in a few words, or None: it is compiled and run once, on 300 tokens."""
    if device.type not in ACCELERATORS:
        return f"there is no kernel for {device.type}"
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            x = torch.zeros(2, 300, heads, width, device=device, dtype=dtype, requires_grad=True)
            mask = torch.ones(2, 300, device=device, dtype=torch.int8)
            fused_attention(x, x, x, make_block_mask(mask, 128)).sum().backward()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # no Triton, no C compiler, an old card, a wide head: each raises another type
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0][:200]}"
    return None
