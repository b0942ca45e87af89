"""Longformer attention in operations that an ONNX graph can hold, with every length dynamic.

The native encoder asks `.any().item()` which of two graphs to build, and the fast one (attention/modules.py) walks
blocks in Python; neither can be one graph. Here the band is three neighbouring blocks of keys, half a window wide each,
and the global tokens are gathered into a dimension of their own, as long as the row with the most of them (never less
than one, so that an input without any is no special case). Same weights, same numbers.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.longformer import modeling_longformer as native


class Pattern(NamedTuple):
    """What each token may see, worked out once for all layers.

    padding: (batch, length) bool, True where a token is masked.
    is_global: (batch, length) bool.
    positions, used: (batch, globals), where the global tokens stand, and which of the slots are real.
    """

    padding: Tensor
    is_global: Tensor
    positions: Tensor
    used: Tensor


def make_pattern(attention_mask: Tensor, global_attention_mask: Tensor) -> Pattern:
    """Read both masks, (batch, length) of 0 and 1."""
    padding = attention_mask == 0
    is_global = (global_attention_mask > 0) & ~padding
    count: Any = is_global.sum(1).amax(0).clamp(min=1).item()
    torch._check(count >= 1)
    torch._check(count <= is_global.shape[1])
    # Global tokens first, in their order: the key is smaller for an earlier token.
    length = is_global.shape[1]
    order = torch.arange(length, device=padding.device) + torch.where(is_global, 0, length)
    positions = order.topk(count, dim=1, largest=False).indices
    return Pattern(padding, is_global, positions, is_global.gather(1, positions))


def banded(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, window: int) -> Tensor:
    """Attention of every token to `window` tokens on either side and to the global ones.

    Args:
        query, key, value: (batch, length, heads, width), the query scaled; length is a multiple of `window`.

    Returns:
        (batch, length, heads * width); rows of masked tokens are zero.
    """
    batch, length, heads, width = query.shape
    blocks = length // window

    def split(x: Tensor) -> Tensor:  # (batch, length, …) -> (batch, blocks, window, …)
        return x.reshape(batch, blocks, window, *x.shape[2:])

    def around(x: Tensor) -> Tensor:  # each block with its neighbours: (batch, blocks, 3 * window, …)
        none = torch.zeros_like(x[:, :1])
        return torch.cat([torch.cat([none, x[:, :-1]], 1), x, torch.cat([x[:, 1:], none], 1)], 2)

    visible = around(split((~(pattern.padding | pattern.is_global)).to(query.dtype)))  # (batch, blocks, 3 * window)
    distance = torch.arange(3 * window) - window - torch.arange(window)[:, None]
    within = (distance.abs() <= window).to(query.device)
    seen = within & (visible > 0)[:, :, None]  # (batch, blocks, window, 3 * window)

    lowest = torch.finfo(query.dtype).min
    blocked = split(query).transpose(2, 3)  # (batch, blocks, heads, window, width)
    keys, values = around(split(key)).transpose(2, 3), around(split(value)).transpose(2, 3)
    local = (blocked @ keys.transpose(-1, -2)).masked_fill(~seen[:, :, None], lowest)
    index = pattern.positions[:, :, None, None].expand(-1, -1, heads, width)
    global_keys, global_values = (x.gather(1, index).transpose(1, 2)[:, None] for x in (key, value))
    far = (blocked @ global_keys.transpose(-1, -2)).masked_fill(~pattern.used[:, None, None, None], lowest)

    weights = torch.cat([far, local], -1).softmax(-1)
    slots = far.shape[-1]
    context = weights[..., :slots] @ global_values + weights[..., slots:] @ values
    context = context.transpose(2, 3).reshape(batch, length, heads * width)
    return context * (~pattern.padding)[..., None].to(context.dtype)


def global_rows(layer: native.LongformerSelfAttention, hidden: Tensor, pattern: Pattern) -> Tensor:
    """What the global tokens gather from all tokens by the global projections: (batch, globals, heads * width)."""
    batch, _, size = hidden.shape
    heads, width = layer.num_heads, layer.head_dim
    tokens = hidden.gather(1, pattern.positions[:, :, None].expand(-1, -1, size))
    query = layer.query_global(tokens).view(batch, -1, heads, width).transpose(1, 2) / math.sqrt(width)
    key = layer.key_global(hidden).view(batch, -1, heads, width).permute(0, 2, 3, 1)
    value = layer.value_global(hidden).view(batch, -1, heads, width).transpose(1, 2)
    scores = (query @ key).masked_fill(pattern.padding[:, None, None], torch.finfo(hidden.dtype).min)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


def attend(layer: native.LongformerSelfAttention, hidden: Tensor, pattern: Pattern) -> Tensor:
    """The self-attention of one native layer: (batch, length, heads * width) in and out."""
    batch, length, _ = hidden.shape
    heads, width = layer.num_heads, layer.head_dim
    query, key, value = (p(hidden).view(batch, length, heads, width) for p in (layer.query, layer.key, layer.value))
    context = banded(query / math.sqrt(width), key, value, pattern, layer.one_sided_attn_window_size)
    rows = global_rows(layer, hidden, pattern)
    index = pattern.positions[:, :, None].expand(-1, -1, rows.shape[2])
    # Unused slots point at tokens that are not global, whose own row is written back.
    kept = torch.where(pattern.used[..., None], rows, context.gather(1, index))
    return context.scatter(1, index, kept)


class ExportableEncoder(nn.Module):
    """A native LongformerModel's modules, run by the attention above, for inputs of any batch and length."""

    def __init__(self, model: native.LongformerModel):
        super().__init__()
        layers: Any = model.encoder.layer
        pad_token_id: Any = model.config.pad_token_id
        self.embeddings, self.layers, self.pad_token_id = model.embeddings, layers, pad_token_id
        self.step: int = max(layer.attention.self.one_sided_attn_window_size for layer in layers)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        global_attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Last hidden state (batch, length, hidden) for int64 inputs, all (batch, length)."""
        length = input_ids.shape[1]
        extra = (length + self.step - 1) // self.step * self.step - length
        ids = F.pad(input_ids, (0, extra), value=self.pad_token_id)
        types = torch.zeros_like(ids) if token_type_ids is None else F.pad(token_type_ids, (0, extra))
        pattern = make_pattern(F.pad(attention_mask, (0, extra)), F.pad(global_attention_mask, (0, extra)))
        hidden = self.embeddings(input_ids=ids, token_type_ids=types)
        for layer in self.layers:
            attention = layer.attention
            hidden = attention.output(attend(attention.self, hidden, pattern), hidden)
            hidden = layer.output(layer.intermediate(hidden), hidden)
        return hidden[:, :length]


class ExportableReader(nn.Module):
    """A native LongformerForQuestionAnswering, likewise: start and end logits, each (batch, length)."""

    def __init__(self, model: native.LongformerForQuestionAnswering):
        super().__init__()
        self.encoder, self.qa_outputs = ExportableEncoder(model.longformer), model.qa_outputs

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        global_attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        logits = self.qa_outputs(self.encoder(input_ids, attention_mask, global_attention_mask, token_type_ids))
        return logits[..., 0], logits[..., 1]
