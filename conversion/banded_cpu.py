"""The band for CPUs: a walk over blocks of queries whose scores stay in the cache, forward and backward.

Nothing of the size of the scores is kept: the backward pass works the weights out again, block by block, from queries
and keys, which are read in place, where the projections left them. Of a mask only what a block needs is added: two
triangles where the band begins and ends, and a row for the keys that the band must not see.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Row(NamedTuple):
    """What one row of a batch holds, as numbers that Python can loop over.

    first, last: the stretch outside which every token is masked.
    hidden: positions in it that the band must not see, rising: masked tokens and global ones.
    masked: (masked,) those of them whose output is zero.
    global_tokens: (globals,) the others, which every query sees beside its band.
    """

    first: int
    last: int
    hidden: list[int]
    masked: Tensor
    global_tokens: Tensor


def make_row(mask: Tensor) -> Row:
    """Read a row (length,) of Longformer's merged mask: 0 masked, 1 local, 2 global."""
    seen = mask.gt(0).nonzero().flatten().tolist()
    first, last = (seen[0], seen[-1] + 1) if seen else (0, 0)
    masked = first + mask[first:last].le(0).nonzero().flatten()
    global_tokens = mask.eq(2).nonzero().flatten()
    return Row(first, last, sorted(masked.tolist() + global_tokens.tolist()), masked, global_tokens)


class BandedAttention(torch.autograd.Function):
    """`apply(query, key, value, rows, window, dropout_p)`, as `conversion.banded.banded_attention` has it."""

    @staticmethod
    def forward(ctx, query, key, value, rows, window, dropout_p):
        # The seed comes from the default generator, so that manual_seed and checkpointing rule the dropout too.
        seed = int(torch.randint(2**62, ())) if dropout_p else 0
        ctx.save_for_backward(query, key, value)
        ctx.arguments = rows, window, dropout_p, seed
        context = torch.zeros_like(query, memory_format=torch.contiguous_format)
        for index, row in enumerate(rows):
            q, k, v, out = (x[index].transpose(0, 1) for x in (query, key, value, context))  # (heads, length, width)
            count, global_v = len(row.global_tokens), v[:, row.global_tokens]
            for queries, keys, weights, kept in _walk(q, k, row, window, dropout_p, seed + index):
                if kept is not None:
                    weights *= kept
                target = out[:, queries]
                torch.bmm(weights[:, :, count:], v[:, keys], out=target)
                if count:
                    target.baddbmm_(weights[:, :, :count], global_v)
            out[:, row.masked] = 0.0
        return context if not dropout_p else context.div_(1 - dropout_p)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        query, key, value = ctx.saved_tensors
        rows, window, dropout_p, seed = ctx.arguments
        scale, rescale = query.shape[-1] ** -0.5, 1 / (1 - dropout_p)
        grads = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (query, key, value)]
        for index, row in enumerate(rows):
            q, k, v, grad_q, grad_k, grad_v = (x[index].transpose(0, 1) for x in (query, key, value, *grads))
            grad_out = grad[index].index_fill(0, row.masked, 0.0).transpose(0, 1)
            count = len(row.global_tokens)
            global_k, global_v = (x[:, row.global_tokens] for x in (k, v))
            grad_global_k, grad_global_v = (torch.zeros_like(x) for x in (global_k, global_v))
            for queries, keys, weights, kept in _walk(q, k, row, window, dropout_p, seed + index):
                g, grad_scores = grad_out[:, queries], torch.empty_like(weights)
                band, beside = grad_scores[:, :, count:], grad_scores[:, :, :count]
                torch.baddbmm(band, g, v[:, keys].transpose(1, 2), beta=0, alpha=rescale, out=band)
                if count:
                    torch.baddbmm(beside, g, global_v.transpose(1, 2), beta=0, alpha=rescale, out=beside)
                used = weights
                if kept is not None:
                    grad_scores *= kept
                    used = weights * kept
                grad_v[:, keys].baddbmm_(used[:, :, count:].transpose(1, 2), g, alpha=rescale)
                if count:
                    grad_global_v.baddbmm_(used[:, :, :count].transpose(1, 2), g, alpha=rescale)
                torch.ops.aten._softmax_backward_data.out(
                    grad_scores, weights, -1, weights.dtype, grad_input=grad_scores
                )
                target = grad_q[:, queries]
                torch.baddbmm(target, band, k[:, keys], beta=0, alpha=scale, out=target)
                grad_k[:, keys].baddbmm_(band.transpose(1, 2), q[:, queries], alpha=scale)
                if count:
                    target.baddbmm_(beside, global_k, alpha=scale)
                    grad_global_k.baddbmm_(beside.transpose(1, 2), q[:, queries], alpha=scale)
            if count:
                grad_k.index_add_(1, row.global_tokens, grad_global_k)
                grad_v.index_add_(1, row.global_tokens, grad_global_v)
        return *grads, None, None, None


def _walk(
    query: Tensor, key: Tensor, row: Row, window: int, dropout_p: float, seed: int
) -> Iterator[tuple[slice, slice, Tensor, Tensor | None]]:
    """Go over the queries (heads, length, width) of one row in blocks.

    Yields the block's queries, the keys of its band, the weights (heads, queries, globals + keys) after the softmax,
    and, with dropout, which of them are kept (bool, the same shape). The weights live until the next block.
    """
    heads, _, width = query.shape
    dtype, count, length = query.dtype, len(row.global_tokens), row.last - row.first
    # Wide blocks waste products outside the band, narrow ones calls; half precision sums its gradients in fewer parts.
    largest = min(max(window, 64), 128 if query.element_size() > 2 else 256)
    size = -(-length // -(-length // largest)) if length else 1
    buffer = query.new_empty(heads * size * (count + min(length, size + 2 * window)))
    outside = query.new_full((size, size), -torch.inf)
    before, after = outside.tril(-1), outside.triu(1)
    hidden = query.new_zeros(row.last).index_fill_(0, torch.tensor(row.hidden, dtype=torch.long), _HIDDEN[dtype])
    global_key = key[:, row.global_tokens]
    generator = torch.Generator().manual_seed(seed)
    for start in range(row.first, row.last, size):
        stop = min(start + size, row.last)
        first, last = max(row.first, start - window), min(row.last, stop + window)
        queries, keys = query[:, start:stop], key[:, first:last]
        shape = (heads, stop - start, count + last - first)
        scores = buffer[: shape[0] * shape[1] * shape[2]].view(shape)
        band = scores[:, :, count:]
        torch.baddbmm(band, queries, keys.transpose(1, 2), beta=0, alpha=width**-0.5, out=band)
        if count:
            beside = scores[:, :, :count]
            torch.baddbmm(beside, queries, global_key.transpose(1, 2), beta=0, alpha=width**-0.5, out=beside)
        clipped = first - (start - window)
        if clipped < stop - start:
            edge = band[:, :, : stop - start - clipped]
            edge += before[: stop - start, clipped : clipped + edge.shape[2]]
        if last > start + window:
            edge = band[:, :, start + window - first :]
            edge += after[: stop - start, : edge.shape[2]]
        if bisect_left(row.hidden, first) < bisect_left(row.hidden, last):
            band += hidden[first:last]
        torch.softmax(scores, -1, out=scores)
        yield slice(start, stop), slice(first, last), scores, _keep(shape, dropout_p, generator) if dropout_p else None


# What hides a key. Finite, so that a masked token among masked ones has weights at all; its output is cleared.
_HIDDEN = {dtype: torch.finfo(dtype).min / 2 for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}


def _keep(shape: tuple[int, int, int], dropout_p: float, generator: torch.Generator) -> Tensor:
    """True with probability 1 - dropout_p, to 16 bits: four draws from each random word, for speed."""
    number = shape[0] * shape[1] * shape[2]
    words = torch.empty(-(-number // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    draws = words.view(torch.int16)[:number].view(shape)
    return draws >= round(dropout_p * 2**16) - 2**15
