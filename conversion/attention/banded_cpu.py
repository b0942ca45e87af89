"""The band for CPUs: a walk over blocks of queries whose scores stay in the cache, forward and backward.

Nothing of the size of the scores is kept: the backward pass works the weights out again, block by block, from queries
and keys, which are read where the projections left them. Of a mask only what a block needs is added: two triangles
where the band begins and ends, and a row for the keys that the band must not see.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Row(NamedTuple):
    """What one row of a batch holds, as numbers that Python can loop over.

    first, last: the stretch outside which every token is masked.
    hidden: positions in it, rising, that the band neither sees nor serves: masked tokens and global ones.
    global_tokens: (globals,) positions of the global ones, which every query sees beside its band.
    """

    first: int
    last: int
    hidden: list[int]
    global_tokens: Tensor


def make_row(mask: Tensor) -> Row:
    """Read a row (length,) of Longformer's merged mask: 0 masked, 1 local, 2 global."""
    seen = mask.gt(0).nonzero().flatten().tolist()
    first, last = (seen[0], seen[-1] + 1) if seen else (0, 0)
    hidden = mask[first:last].ne(1).nonzero().flatten() + first
    return Row(first, last, hidden.tolist(), mask.eq(2).nonzero().flatten())


class Block(NamedTuple):
    """A block of queries: its slice of the queries, the slice of keys in its band, and what the walk made of them.

    keys_seen: (heads, globals + keys, width).
    weights: (heads, queries, globals + keys) after the softmax, before dropout; they live until the next block.
    kept: what dropout multiplies the weights by; None without dropout.
    hidden: which of the block's queries the band does not serve.
    """

    queries: slice
    keys: slice
    keys_seen: Tensor
    weights: Tensor
    kept: Tensor | None
    hidden: list[int]


class ReusedMemory:
    """Memory for one tensor of each block, used again: fresh pages cost about as much as what is written to them."""

    def __init__(self, like: Tensor):
        self.memory = like.new_empty(0)

    def take(self, *shape: int) -> Tensor:
        """A tensor of any content; the last one taken here is overwritten."""
        size = math.prod(shape)
        if self.memory.numel() < size:
            self.memory = self.memory.new_empty(size)
        return self.memory[:size].view(shape)


class BandedAttention(torch.autograd.Function):
    """`apply(query, key, value, rows, reach, dropout_p, again)`, as banded.py's `banded_attention` has it.

    `again(query, key, value, reach)` works the same out in a way that can be differentiated twice.
    """

    @staticmethod
    def forward(ctx, query, key, value, rows, reach, dropout_p, again):
        # A seed from the default generator: manual_seed and gradient checkpointing then repeat the dropout.
        seed = int(torch.randint(2**62, ())) if dropout_p else 0
        ctx.save_for_backward(query, key, value)
        ctx.arguments = rows, reach, dropout_p, seed, again
        context = torch.zeros_like(query, memory_format=torch.contiguous_format)
        for index, row in enumerate(rows):
            q, k, v, out = (x[index].transpose(0, 1) for x in (query, key, value, context))  # (heads, length, width)
            global_v, room = v[:, row.global_tokens], ReusedMemory(v)
            for block in _walk(q, k, row, reach, dropout_p, seed + index):
                weights = block.weights if block.kept is None else block.weights.mul_(block.kept)
                torch.bmm(weights, _beside(room, global_v, v[:, block.keys]), out=out[:, block.queries])
            out[:, row.hidden] = 0.0
        return context

    @staticmethod
    def backward(ctx, grad_context):
        query, key, value = ctx.saved_tensors
        rows, reach, dropout_p, seed, again = ctx.arguments
        if torch.is_grad_enabled():  # create_graph=True; the code below leaves no graph
            if dropout_p:
                raise RuntimeError(
                    "The fast attention has no second derivatives with dropout on the attention weights: call "
                    "model.eval(), or conversion.attention.use_native_attention(model)."
                )
            inputs = [x.detach().requires_grad_() if not x.requires_grad else x for x in (query, key, value)]
            twice = torch.autograd.grad(again(*inputs, reach), inputs, grad_context, create_graph=True)
            return *twice, None, None, None, None
        grads = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (query, key, value)]
        for index, row in enumerate(rows):
            q, k, v, grad_out = (x[index].transpose(0, 1) for x in (query, key, value, grad_context))
            grad_q, grad_k, grad_v = (x[index].transpose(0, 1) for x in grads)
            global_v, count = v[:, row.global_tokens], len(row.global_tokens)
            grad_globals = torch.zeros_like(global_v), torch.zeros_like(global_v)
            of_values, of_scores, of_keys = ReusedMemory(v), ReusedMemory(v), ReusedMemory(v)
            for block in _walk(q, k, row, reach, dropout_p, seed + index):
                weights, queries, grad_block = block.weights, q[:, block.queries], grad_out[:, block.queries]
                if block.hidden:
                    grad_block = grad_block.clone()
                    grad_block[:, block.hidden] = 0.0
                used = weights if block.kept is None else weights * block.kept
                values = _beside(of_values, global_v, v[:, block.keys])
                grad_scores = of_scores.take(*weights.shape)
                # The softmax's gradient is linear in what it receives, so the scale of the scores can come in here.
                torch.baddbmm(
                    weights,
                    grad_block,
                    values.transpose(1, 2),
                    beta=0,
                    alpha=query.shape[-1] ** -0.5,
                    out=grad_scores,
                )
                if block.kept is not None:
                    grad_scores *= block.kept
                torch.ops.aten._softmax_backward_data.out(
                    grad_scores, weights, -1, weights.dtype, grad_input=grad_scores
                )
                torch.bmm(grad_scores, block.keys_seen, out=grad_q[:, block.queries])
                for scores, rows_of, of_globals, of_band in (
                    (grad_scores, queries, grad_globals[0], grad_k),
                    (used, grad_block, grad_globals[1], grad_v),
                ):
                    part = of_keys.take(*block.keys_seen.shape)
                    torch.bmm(scores.transpose(1, 2), rows_of, out=part)
                    of_globals += part[:, :count]
                    of_band[:, block.keys] += part[:, count:]
            grad_k.index_add_(1, row.global_tokens, grad_globals[0])
            grad_v.index_add_(1, row.global_tokens, grad_globals[1])
        return *grads, None, None, None, None


def _walk(query: Tensor, key: Tensor, row: Row, reach: int, dropout_p: float, seed: int) -> Iterator[Block]:
    """Go over the queries of one row in blocks; `query` and `key` are (heads, length, width)."""
    heads, _, width = query.shape
    count, length = len(row.global_tokens), row.last - row.first
    # Wide blocks compute more outside the band, narrow ones need more calls. In half precision blocks are wider, since
    # fewer parts of a gradient are then rounded and summed.
    largest = min(max(reach, 64), 128 if query.element_size() > 2 else 256)
    size = -(-length // -(-length // largest)) if length else 1
    of_scores, of_keys = ReusedMemory(query), ReusedMemory(query)
    outside = query.new_full((size, size), -torch.inf)
    before, after = outside.tril(-1), outside.triu(1)
    # Finite, since a row of -inf alone would make NaN: a masked token may see masked ones only. Its output is cleared.
    hiding = query.new_zeros(row.last)
    hiding[row.hidden] = torch.finfo(query.dtype).min / 2
    global_key = key[:, row.global_tokens]
    generator = torch.Generator().manual_seed(seed)
    for start in range(row.first, row.last, size):
        stop = min(start + size, row.last)
        first, last = max(row.first, start - reach), min(row.last, stop + reach)
        keys_seen = _beside(of_keys, global_key, key[:, first:last])
        scores = of_scores.take(heads, stop - start, count + last - first)
        torch.baddbmm(scores, query[:, start:stop], keys_seen.transpose(1, 2), beta=0, alpha=width**-0.5, out=scores)
        band = scores[:, :, count:]
        clipped = first - (start - reach)
        if clipped < stop - start:
            edge = band[:, :, : stop - start - clipped]
            edge += before[: stop - start, clipped : clipped + edge.shape[2]]
        if last > start + reach:
            edge = band[:, :, start + reach - first :]
            edge += after[: stop - start, : edge.shape[2]]
        if bisect_left(row.hidden, first) < bisect_left(row.hidden, last):
            band += hiding[first:last]
        torch.softmax(scores, -1, out=scores)
        hidden = row.hidden[bisect_left(row.hidden, start) : bisect_left(row.hidden, stop)]
        kept = _kept(scores, dropout_p, generator) if dropout_p else None
        yield Block(slice(start, stop), slice(first, last), keys_seen, scores, kept, [x - start for x in hidden])


def _beside(room: ReusedMemory, of_globals: Tensor, of_band: Tensor) -> Tensor:
    heads, count, width = of_globals.shape
    if not count:
        return of_band
    return torch.cat([of_globals, of_band], 1, out=room.take(heads, count + of_band.shape[1], width))


def _kept(weights: Tensor, dropout_p: float, generator: torch.Generator) -> Tensor:
    """0 with probability `dropout_p`, to 16 bits, and 1 / (1 - dropout_p) else: four draws from each random word."""
    words = torch.empty(-(-weights.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    draws = words.view(torch.int16)[: weights.numel()].view_as(weights)
    return (draws >= round(dropout_p * 2**16) - 2**15).to(weights.dtype).mul_(1 / (1 - dropout_p))
