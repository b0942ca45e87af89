"""Longformer attention as fast as its arithmetic allows, in a loaded native model: same weights, same numbers.

    model = use_fast_attention(AutoModel.from_pretrained("allenai/longformer-base-4096"))
    ...
    use_native_attention(model)

Only the model that is passed changes, and only in how it computes: its parameters, its configuration and what
`save_pretrained` writes stay as they were. The swap exchanges the class of four kinds of modules for a subclass, so it
can be undone, copied and pickled, and wrappers around or inside the model (LoRA, DDP, checkpointing) keep working.
"""

import math
from collections.abc import Sequence
from types import MethodType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import guard_or_true
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers.models.longformer import modeling_longformer as native
from transformers.utils import logging

from .banded import Plan, Way, banded_attention, make_plan
from .banded_gpu import trouble

logger = logging.get_logger(__name__)
Model = TypeVar("Model", bound=nn.Module)
# What is compiled on request. Each is a linear map with the element-wise work around it. A whole layer would take the
# blocks of the band into the graph, and their symbolic sizes cost minutes.
_ELEMENTWISE = (native.LongformerSelfOutput, native.LongformerIntermediate, native.LongformerOutput)
_COMPILED = {"dynamic": True}
_SLICE = 512  # tokens of a feed-forward at a time: with fewer the products are slow, more do not fit the cache


def use_fast_attention(model: Model, compile: bool = False) -> Model:
    """Let every Longformer inside `model` compute by `banded.py`; returns the same object, changed in place.

    Works on the encoder, on any head, under wrappers such as peft's, and before or after accelerate spreads the model
    over devices. A model without Longformer modules is returned as it is. The native code still runs under
    `output_attentions=True`, since the weights are never formed here, and under `torch.jit.trace`, whose graphs would
    keep the number of global tokens.

    Args:
        compile: also compile what is not attention by torch.compile, each kind of module in one graph for all lengths,
            so that GELU, LayerNorm, residuals and dropout run in fewer kernels.

    Raises:
        ValueError: something else has replaced a module's forward.
    """
    _exchange(model, _FAST)
    for module in model.modules():
        if compile and isinstance(module, _ELEMENTWISE):
            module.compile(**_COMPILED)
    return model


def use_native_attention(model: Model) -> Model:
    """Undo `use_fast_attention`; returns the same object, changed in place."""
    for module in model.modules():
        if isinstance(module, _ELEMENTWISE):
            module._compiled_call_impl = None
    return _exchange(model, {fast: slow for slow, fast in _FAST.items()})


def _exchange(model: Model, classes: dict[type, type]) -> Model:
    exchanged = [module for module in model.modules() if type(module) in classes]
    bound = {module: _bound_forwards(module) for module in exchanged}
    for module in exchanged:
        module.__class__ = classes[type(module)]
        for name in bound[module]:
            setattr(module, name, MethodType(type(module).forward, module))
    return model


def _bound_forwards(module: nn.Module) -> list[str]:
    """Where the module itself holds its class's forward: accelerate keeps it so, under a forward of its own."""
    own: list[str] = [name for name in ("forward", "_old_forward") if name in vars(module)]
    bound: list[str] = [
        name for name in own if getattr(getattr(module, name), "__func__", None) is type(module).forward
    ]
    if own and not bound:
        raise ValueError(
            f"A {type(module).__name__}'s forward was replaced by {module.forward!r}, which the swap cannot reach: "
            "call use_fast_attention or use_native_attention before whatever replaced it."
        )
    return bound


# The subclasses have their parents' names: `save_pretrained` writes them to config.json, and accelerate looks them up.


class LongformerModel(native.LongformerModel):
    """LongformerModel without padding to the window and without the square mask."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ):
        attentions = output_attentions if output_attentions is not None else self.config.output_attentions
        if attentions or torch.jit.is_tracing():
            reason = "output_attentions=True" if attentions else "torch.jit.trace"
            logger.warning_once(f"{reason}: the native Longformer attention computes this forward.")
            return super().forward(
                input_ids,
                attention_mask,
                global_attention_mask,
                token_type_ids,
                position_ids,
                inputs_embeds,
                output_attentions,
                output_hidden_states,
                return_dict,
                **kwargs,
            )
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds: one of the two, and not both.")
        if input_ids is not None:
            self.warn_if_padding_and_no_attention_mask(input_ids, attention_mask)
            self._check_length(input_ids, position_ids)
        hidden_states = self.embeddings(
            input_ids=input_ids, position_ids=position_ids, token_type_ids=token_type_ids, inputs_embeds=inputs_embeds
        )
        if global_attention_mask is not None:
            ones = torch.ones_like(global_attention_mask)
            attention_mask = (ones if attention_mask is None else attention_mask) * (global_attention_mask + 1)
        layers = [m for m in self.encoder.modules() if isinstance(m, native.LongformerSelfAttention)]
        reaches = {layer.one_sided_attn_window_size for layer in layers}
        way = _choose(layers, hidden_states)
        encoded = self.encoder(
            hidden_states,
            attention_mask=make_plan(attention_mask, hidden_states.shape[:2], reaches, hidden_states.device, way),
            output_hidden_states=(
                output_hidden_states if output_hidden_states is not None else self.config.output_hidden_states
            ),
        )
        output = native.LongformerBaseModelOutputWithPooling(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=self.pooler(encoded.last_hidden_state) if self.pooler is not None else None,
            hidden_states=encoded.hidden_states,
        )
        if return_dict if return_dict is not None else self.config.return_dict:
            return output
        return (
            output.last_hidden_state,
            output.pooler_output,
            *output.to_tuple()[2 if self.pooler is not None else 1 :],
        )

    def _check_length(self, input_ids: Tensor, position_ids: Tensor | None) -> None:
        """Refuse more tokens than there are positions: on a GPU the lookup would end the process's every later call."""
        embeddings = self.embeddings
        most = embeddings.position_embeddings.num_embeddings - embeddings.padding_idx - 1  # tokens follow padding's row
        if torch.compiler.is_compiling() or position_ids is not None or input_ids.shape[1] <= most:
            return
        tokens = int((input_ids != embeddings.padding_idx).sum(1).amax())
        if tokens > most:
            raise ValueError(
                f"{tokens:,} tokens are more than the model's {most:,} positions: cut or window the input."
            )


def _choose(layers: Sequence[native.LongformerSelfAttention], hidden_states: Tensor) -> Way:
    """The way to compute the band, and a sentence where it is not the one that was to be expected."""
    device = hidden_states.device
    if device.type == "cpu":
        return "product" if torch.compiler.is_compiling() else "walk"
    # The kernel has no dropout. Layers on another device would need the masks there too.
    drops = any(layer.training and layer.dropout for layer in layers)
    if torch.compiler.is_exporting() or any(layer.query.weight.device != device for layer in layers):
        return "product"
    if torch.compiler.is_compiling():
        return "product" if drops else "kernel"
    if drops:
        logger.warning_once(
            "FlexAttention has no dropout on attention weights: slower blocks of scaled_dot_product_attention train "
            "this model. attention_probs_dropout_prob=0 in its config gives it the fast kernel."
        )
        return "product"
    amp = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if amp else hidden_states.dtype
    reason = trouble(device, dtype, layers[0].num_heads, layers[0].head_dim)
    if reason is not None:
        logger.warning_once(
            f"FlexAttention does not work here ({reason}): slower blocks of scaled_dot_product_attention compute this."
        )
    return "kernel" if reason is None else "product"


class LongformerEncoder(native.LongformerEncoder):
    """LongformerEncoder that hands a plan, in the place of the mask, down to its layers."""

    def forward(self, hidden_states, attention_mask=None, *args, **kwargs):
        if not isinstance(attention_mask, Plan):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        wanted = bool(kwargs.get("output_hidden_states"))
        states = [hidden_states] if wanted else []
        for layer in self.layer:
            hidden_states = layer(hidden_states, attention_mask=attention_mask)[0]
            if wanted:
                states.append(hidden_states)
        return native.LongformerBaseModelOutput(
            last_hidden_state=hidden_states, hidden_states=tuple(states) if wanted else None
        )


class LongformerLayer(native.LongformerLayer):
    """LongformerLayer whose feed-forward goes over slices of the tokens on a CPU, unless gradients are wanted."""

    def ff_chunk(self, attn_output):
        # The activations of a whole input do not fit the cache, and their memory is new each time. But hooks expect
        # them whole, and autocast may convert the weights for each slice again.
        whole = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
        modules = *self.intermediate.modules(), *self.output.modules()
        if whole or attn_output.device.type != "cpu" or any(map(_is_hooked, modules)):
            return super().ff_chunk(attn_output)
        tokens = attn_output.flatten(0, 1).split(_SLICE)
        return torch.cat([super(LongformerLayer, self).ff_chunk(part) for part in tokens]).view_as(attn_output)


class LongformerSelfAttention(native.LongformerSelfAttention):
    """LongformerSelfAttention by block-banded products, for inputs of any length."""

    def forward(self, hidden_states, attention_mask=None, *args, **kwargs):
        if not isinstance(attention_mask, Plan):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        plan, dropout_p = attention_mask, self.dropout if self.training else 0.0
        heads = (*hidden_states.shape[:2], self.num_heads, self.head_dim)
        query, key, value = (project(hidden_states).view(heads) for project in (self.query, self.key, self.value))
        context = banded_attention(query, key, value, plan, self.one_sided_attn_window_size, dropout_p).flatten(2)
        if plan.global_tokens is not None:
            positions, used = plan.global_tokens
            rows = self._global_rows(hidden_states, positions, plan.padding, dropout_p)
            index = positions[:, :, None].expand_as(rows)
            # A row with fewer global tokens has spare slots. They point at other tokens, which keep their values.
            rows = torch.where(used[:, :, None], rows.to(context.dtype), context.gather(1, index))
            context = context.scatter(1, index, rows)
        return (context,)

    def _global_rows(
        self, hidden_states: Tensor, positions: Tensor, padding: Tensor | None, dropout_p: float
    ) -> Tensor:
        """What the global tokens gather from all tokens: (batch, globals, width).

        With few of them, keys and values of all positions are never computed: q·(W x + b) = (Wᵀq)·x + q·b, and
        P (X Wᵀ + b) = (P X) Wᵀ + (P 1) b, whatever the weights P (so dropout is exact too).
        """
        batch, length, width = hidden_states.shape
        count = positions.shape[1]
        split = (batch, -1, self.num_heads, self.head_dim)
        tokens = hidden_states.gather(1, positions[:, :, None].expand(-1, -1, width))
        query = self.query_global(tokens).view(split).transpose(1, 2) / math.sqrt(self.head_dim)
        key, value = self.key_global, self.value_global
        # In a compiled or exported graph the count is not known: take it to be few.
        few = guard_or_true(count * self.num_heads < width) and _is_plain(key) and _is_plain(value)
        if few:
            key_weight, value_weight = (m.weight.view(self.num_heads, self.head_dim, width) for m in (key, value))
            moved = (query @ key_weight).flatten(1, 2)
            scores = (moved @ hidden_states.transpose(1, 2)).view(batch, self.num_heads, count, length)
            if key.bias is not None:
                scores = scores + query @ key.bias.view(self.num_heads, self.head_dim, 1)
        else:
            scores = query @ key(hidden_states).view(split).permute(0, 2, 3, 1)
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)
        weights = nn.functional.dropout(weights, dropout_p)
        if few:
            gathered = (weights.flatten(1, 2) @ hidden_states).view(batch, self.num_heads, count, width)
            rows = gathered @ value_weight.transpose(1, 2)
            if value.bias is not None:
                rows = rows + weights.sum(-1, keepdim=True) * value.bias.view(self.num_heads, 1, self.head_dim)
        else:
            rows = weights @ value(hidden_states).view(split).transpose(1, 2)
        return rows.transpose(1, 2).flatten(2)


def _is_plain(module: nn.Module) -> bool:
    """Whether reading the weights is the same as calling the module: no adapter, no quantisation, no hook."""
    return (
        type(module) is nn.Linear
        and not is_traceable_wrapper_subclass(module.weight)  # as torchao's quantised weights and DTensor's parts are
        and not _is_hooked(module)
    )


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


_FAST: dict[type, type] = {
    native.LongformerModel: LongformerModel,
    native.LongformerEncoder: LongformerEncoder,
    native.LongformerLayer: LongformerLayer,
    native.LongformerSelfAttention: LongformerSelfAttention,
}
