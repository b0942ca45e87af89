"""The fast attention on a GPU: native Longformer's numbers and gradients there, in float32 and under autocast."""

import pytest
import torch
from transformers import LongformerConfig, LongformerModel

from conversion.attention import use_fast_attention
from conversion.attention.modules import use_native_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

CONFIG = LongformerConfig(
    vocab_size=200, hidden_size=96, num_hidden_layers=3, num_attention_heads=3, intermediate_size=192, pad_token_id=1,
    max_position_embeddings=1402, attention_window=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


def both(length: int, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(hidden states of the real tokens, all gradients as one vector) of the native attention, then of ours.

    A batch of three: all real, padded, and without a global token.
    """
    torch.manual_seed(length)
    model = LongformerModel(CONFIG, add_pooling_layer=False).cuda()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.randint(2, 200, (3, length), device="cuda")
    mask = torch.ones_like(ids)
    mask[1, length - length // 3 :] = 0
    is_global = torch.zeros_like(ids)
    is_global[0, :9], is_global[1, :4] = 1, 1
    direction = torch.randn(3, length, 96, device="cuda")
    results = []
    for change in (use_native_attention, use_fast_attention):
        change(model).zero_grad()
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            hidden = model(ids, attention_mask=mask, global_attention_mask=is_global)[0].float()
        (hidden * direction)[mask == 1].sum().backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append((hidden[mask == 1].detach(), torch.cat(gradients)))
    return results


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("length", [7, 128, 300, 1400])
def test_the_numbers_are_the_native_ones(length):
    for wanted, found in zip(*both(length, torch.float32), strict=True):
        assert apart(found, wanted) < 1e-4


@pytest.mark.parametrize("length", [300, 1400])
def test_autocast_costs_no_more_than_natively(length):
    exact, _ = both(length, torch.float32)
    native, ours = both(length, torch.bfloat16)
    for reference, by_native, by_ours in zip(exact, native, ours, strict=True):
        assert apart(by_ours, reference) < 1.5 * apart(by_native, reference)
