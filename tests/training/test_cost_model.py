"""The cost model against what torch counts and keeps on real (small) models."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import attention, cost_model
from benchmarks.cost_model import Device, Model, activation_bytes, notebook_flops, training_flops
from conversion.attention import use_fast_attention
from training.pretraining.loss import LongformerForMaskedLM
from training.pretraining.trainer import freeze_global_projections

SMALL = Model("small", layers=2, hidden=64, ffn=256, heads=2, vocabulary=1000, positions=1026)
WINDOW = 64


def _model(sizes, ours=True):
    config = transformers.LongformerConfig(
        vocab_size=sizes.vocabulary, hidden_size=sizes.hidden, intermediate_size=sizes.ffn, pad_token_id=1,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, attention_window=WINDOW,
        max_position_embeddings=sizes.positions, type_vocab_size=1,
    )  # fmt: skip
    model = use_fast_attention(LongformerForMaskedLM(config)) if ours else transformers.LongformerForMaskedLM(config)
    freeze_global_projections(model)
    return model.train()


def _batch(length, every=7):
    ids = torch.randint(5, 1000, (1, length))
    labels = torch.full_like(ids, -100)
    labels[:, ::every] = ids[:, ::every]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


@pytest.mark.parametrize("length", [256, 1024])
def test_arithmetic_is_what_torch_counts(length):
    batch = _batch(length)
    masked = (batch["labels"] != -100).float().mean().item()
    with FlopCounterMode(display=False) as counter:
        _model(SMALL)(**batch).loss.backward()
    # The counter leaves out linear_cross_entropy: add the logits and the gradients of its two factors.
    counted = counter.get_total_flops() + 3 * 2 * masked * length * SMALL.hidden * SMALL.vocabulary
    assert training_flops(SMALL, length, WINDOW, masked=masked, on_cpu=True) == pytest.approx(counted, rel=0.01)


def test_arithmetic_of_the_notebooks_way():
    with FlopCounterMode(display=False) as counter:
        _model(SMALL, ours=False)(**_batch(1024)).loss.backward()
    assert notebook_flops(SMALL, 1024, WINDOW) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_the_benchmark_counts_full_attention_on_a_cpu():
    shape = SimpleNamespace(width=24, layers=2, dropout=0.0, batch_size=1, tokens=None, device="cpu", globals=1)
    shape.systems = ["full", "masked", "floor"]
    counts = attention.flops(shape, {"length": 128, "dtype": "float32"})
    products = 7 * 2 * 128 * 128 * 24 * shape.layers  # two forward, five backward
    into_embeddings = 2 * 128 * 24 * 24  # the floor's input has no gradient
    assert counts["full"] == counts["masked"] == counts["floor"] + products + into_embeddings


def _kept(sizes, length, mixed):
    model = _model(sizes)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # Keeps the tensor alive, so that its address is not used again.
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
    ):
        model(**_batch(length))
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("mixed", [False, True])
def test_activations_are_what_torch_keeps(mixed):
    one, three = (Model("small", n, 64, 256, 2, 1000, 1026) for n in (1, 3))
    kept = (_kept(three, 1024, mixed) - _kept(one, 1024, mixed)) / 2
    if mixed:
        kept -= 2 * 12 * 64 * 64  # autocast's copies of the weights
    assert activation_bytes(one, 1024, mixed=mixed) == pytest.approx(kept, rel=0.02)


def test_parameters_are_the_models():
    model = _model(SMALL)
    assert SMALL.parameters == sum(p.numel() for p in model.parameters())
    assert SMALL.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_more_devices_send_more_and_take_less_time():
    fast = Device("GPU", flops=1e14, link=3e11, network=2.5e10)
    times = [cost_model.run_seconds(cost_model.XLMR_BASE, fast, n) for n in (1, 8, 64)]
    assert times[0] > 7 * times[1] > 7 * times[2]
    one_update = 64 * training_flops(cost_model.XLMR_BASE, 4096, 512) / 1e14
    assert times[0] == pytest.approx(6000 * one_update)
    assert times[1] == pytest.approx(6000 * (one_update / 8 + cost_model.ddp_bytes(cost_model.XLMR_BASE, 8) / 3e11))
    assert cost_model.fsdp_bytes(cost_model.XLMR_BASE, 8, 1) > cost_model.ddp_bytes(cost_model.XLMR_BASE, 8)
