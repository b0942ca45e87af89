"""The MLM loss of a Longformer without the logits of a whole sequence.

At 4,096 tokens and XLM-R's 250,002 words the logits are 4 GB, their softmax and its gradient as much again, though
only 15% of the positions are scored. Here the masked positions alone reach the LM head, and torch's cross-entropy goes
through the vocabulary's logits a chunk of positions at a time: the gradient of a chunk is taken while its logits are
there, so that backward, which can be called once, needs none of them.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions
from transformers import initialization
from transformers.models.longformer.modeling_longformer import LongformerLMHead, LongformerMaskedLMOutput

IGNORED = -100
CHUNK_ELEMENTS = 1 << 25  # logits in memory at a time: 128 MB in float32


class _Head(LongformerLMHead):
    """The native head, whose tied weight accelerate looks for under this name."""

    @property
    def weight(self) -> Tensor:
        return self.decoder.weight


class LongformerForMaskedLM(transformers.LongformerForMaskedLM):
    """The native class (its name goes into config.json) with another loss; without labels it is the native model.

    `loss` is the mean over masked positions, or their sum over `num_items_in_batch`: with what Trainer counts over
    all accumulated and parallel batches, the gradient does not depend on how a batch is split. `logits` is None.
    """

    accepts_loss_kwargs = True

    def __init__(self, config: Any):
        super().__init__(config)
        self.lm_head.__class__ = _Head

    @torch.no_grad()
    def _init_weights(self, module: torch.nn.Module) -> None:
        super()._init_weights(module)
        # If the checkpoint lacks a head's bias, transformers leaves whatever the memory held, infinities too.
        if isinstance(module, LongformerLMHead):
            initialization.zeros_(module.bias)  # leaves a loaded bias as it is

    def get_output_embeddings(self) -> Any:
        """The whole head, not its decoder alone: FSDP makes one unit of it and the word embeddings, which share
        parameters (weight and bias), and a parameter must not lie in two units."""
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | float | None = None,
        **kwargs: Any,
    ) -> Any:
        """input_ids, attention_mask, labels: [batch, length], labels -100 where nothing is masked."""
        if labels is None:
            return super().forward(input_ids, attention_mask, global_attention_mask, **kwargs)
        encoded = self.longformer(
            input_ids,
            attention_mask=attention_mask,
            global_attention_mask=global_attention_mask,
            return_dict=True,
            **kwargs,
        )
        chosen = labels != IGNORED
        head = self.lm_head
        features = head.layer_norm(F.gelu(head.dense(encoded.last_hidden_state[chosen])))
        total = sum_cross_entropy(features, head.decoder.weight, head.decoder.bias, labels[chosen])
        if num_items_in_batch is None:
            num_items_in_batch = chosen.sum()
        # A batch may have no masked position. Its loss is 0, and still depends on the parameters, which DDP needs.
        loss = total / torch.as_tensor(num_items_in_batch, device=total.device).clamp(min=1)
        return LongformerMaskedLMOutput(loss=cast(Any, loss), logits=cast(Any, None))


def sum_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Sum over n of -log softmax(features @ weight.T + bias)[n, targets[n]], in float32.

    features [n, hidden], weight [vocabulary, hidden], bias [vocabulary], targets [n]. Under autocast the products are
    taken in its precision, as nn.Linear's would be, and the sum is rounded to it where there is a gradient.
    """
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight, bias = features.to(dtype), weight.to(dtype), bias.to(dtype)
    rows = max(16, CHUNK_ELEMENTS // len(weight))
    if torch.is_grad_enabled():
        # The chunk size that torch chooses by itself took 15 times as long.
        chunks = LinearCrossEntropyOptions(batch_chunk_size=rows)
        with torch.autocast(device, enabled=False):
            loss = F.linear_cross_entropy(features, weight, targets, linear_bias=bias, reduction="sum", options=chunks)
        return loss.float()
    # Scores need exact sums. From bfloat16 features the call above gives a sum that is rounded to bfloat16.
    total = torch.zeros((), device=features.device)
    for at in range(0, len(features), rows):
        logits = F.linear(features[at : at + rows], weight, bias).float()
        total += F.cross_entropy(logits, targets[at : at + rows], reduction="sum")
    return total
