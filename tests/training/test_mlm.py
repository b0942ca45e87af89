"""The masked-only loss against the native one, masks, and scores at two lengths."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from accelerate import Accelerator

from foundation.cli import UserError
from tests.training import tiny
from training.pretraining import loss as masked_loss
from training.pretraining.loss import LongformerForMaskedLM, sum_cross_entropy
from training.pretraining.masking import Masker
from training.pretraining.packing import Packing, pack
from training.pretraining.scores import cut, score
from training.pretraining.source import TextFile
from training.pretraining.trainer import freeze_global_projections, with_global_projections


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture
def models():
    native = tiny.longformer()
    ours = LongformerForMaskedLM(copy.deepcopy(native.config))
    ours.load_state_dict(native.state_dict())
    return native.train(), ours.train()


def _batch(vocab_size=300, rows=3, length=64):
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(5, vocab_size, (rows, length), generator=generator)
    labels = torch.where(torch.rand(input_ids.shape, generator=generator) < 0.2, input_ids, -100)
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}


def _gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("chunk", [1 << 25, 300 * 16])  # all rows in one chunk, and sixteen rows in each
def test_loss_and_gradients_equal_the_native_ones(models, monkeypatch, chunk):
    monkeypatch.setattr(masked_loss, "CHUNK_ELEMENTS", chunk)
    native, ours = models
    batch = _batch()
    assert (batch["labels"] != -100).sum() > 2 * 16
    expected, actual = native(**batch).loss, ours(**batch).loss
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)
    expected_grads, actual_grads = _gradients(native, expected), _gradients(ours, actual)
    assert expected_grads.keys() == actual_grads.keys() and len(actual_grads) > 30
    for name, grad in expected_grads.items():
        torch.testing.assert_close(actual_grads[name], grad, rtol=1e-4, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_accumulated_parts_add_up_to_the_whole(models):
    _, ours = models
    batch = _batch()
    items = (batch["labels"] != -100).sum()
    whole = _gradients(ours, ours(**batch).loss)
    ours.zero_grad()
    for row in range(3):
        ours(**{name: value[row : row + 1] for name, value in batch.items()}, num_items_in_batch=items).loss.backward()
    for name, parameter in ours.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad, whole[name], rtol=1e-4, atol=1e-7)


def test_a_head_that_the_checkpoint_lacks_starts_from_numbers(tmp_path):
    tiny.longformer().longformer.save_pretrained(tmp_path / "encoder")
    tiny.longformer().save_pretrained(tmp_path / "whole")
    torch.use_deterministic_algorithms(True)  # fills unwritten memory with NaN, which could else be zero by luck
    try:
        fresh = LongformerForMaskedLM.from_pretrained(tmp_path / "encoder")
        whole = LongformerForMaskedLM.from_pretrained(tmp_path / "whole")
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(parameter.isfinite().all() for parameter in fresh.parameters())
    assert fresh.lm_head.bias.count_nonzero() == 0 and fresh.lm_head.decoder.bias is fresh.lm_head.bias
    assert torch.equal(whole.lm_head.bias, tiny.longformer().lm_head.bias)


def test_without_labels_it_is_the_native_model(models):
    native, ours = models
    batch = _batch()
    del batch["labels"]
    torch.testing.assert_close(ours(**batch).logits, native(**batch).logits)


def test_a_batch_without_masked_positions_has_loss_zero_and_zero_gradients(models):
    _, ours = models
    batch = _batch()
    batch["labels"].fill_(-100)
    loss = ours(**batch).loss
    assert loss.item() == 0
    assert all(grad.abs().max() == 0 for grad in _gradients(ours, loss).values())


def test_evaluation_under_no_grad_is_the_same_number(models, monkeypatch):
    monkeypatch.setattr(masked_loss, "CHUNK_ELEMENTS", 300 * 16)
    _, ours = models
    with torch.no_grad():
        without = ours(**_batch()).loss
    torch.testing.assert_close(without, ours(**_batch()).loss.detach(), rtol=1e-6, atol=0)


def test_frozen_word_embeddings_get_no_gradient(models):
    _, ours = models
    ours.get_input_embeddings().weight.requires_grad_(False)
    grads = _gradients(ours, ours(**_batch()).loss)
    assert "longformer.embeddings.word_embeddings.weight" not in grads and "lm_head.dense.weight" in grads


def test_cross_entropy_under_bfloat16_autocast_stays_near_float32():
    generator = torch.Generator().manual_seed(0)
    features, weight, bias = (torch.randn(shape, generator=generator) for shape in ((40, 16), (500, 16), (500,)))
    targets = torch.randint(0, 500, (40,), generator=generator)
    weight.requires_grad_()
    exact = F.cross_entropy(F.linear(features, weight, bias), targets, reduction="sum")
    (exact_grad,) = torch.autograd.grad(exact, weight)
    with torch.autocast("cpu", torch.bfloat16):
        loss = sum_cross_entropy(features, weight, bias, targets)
    (grad,) = torch.autograd.grad(loss, weight)
    assert loss.dtype == torch.float32 and grad.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=1e-2, atol=0)
    assert (grad - exact_grad).norm() < 0.02 * exact_grad.norm()


def test_a_second_backward_is_refused_rather_than_wrong(models):
    _, ours = models
    loss = ours(**_batch()).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="called twice"):
        loss.backward()


def test_the_saved_checkpoint_is_a_native_one(models, tmp_path):
    _, ours = models
    ours.save_pretrained(tmp_path)
    again, info = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is transformers.LongformerForMaskedLM
    assert again.config.architectures == ["LongformerForMaskedLM"]
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_global_projections_are_frozen_and_follow_the_local_ones_at_a_save():
    model = tiny.longformer()
    freeze_global_projections(model)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert len(frozen) == 2 * 3 * 2  # layers, projections, weight and bias
    copied = with_global_projections(model.state_dict())
    for name in frozen:
        local = copied[name.replace("_global", "")]
        assert torch.equal(copied[name], local) and copied[name].data_ptr() != local.data_ptr()
        assert not torch.equal(model.state_dict()[name], local)  # the model itself is unchanged


def test_masks_have_the_published_shares_and_spare_special_tokens(tokenizer):
    ids = np.random.default_rng(0).integers(5, len(tokenizer), 200_000).astype(np.int32)
    ids[::64] = tokenizer.cls_token_id
    input_ids, labels = Masker(tokenizer, seed=1).mask(ids, epoch=0)
    chosen = labels != -100
    assert not chosen[::64].any() and np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(input_ids[~chosen], ids[~chosen])
    shares = [
        chosen.sum() / (ids != tokenizer.cls_token_id).sum(),
        (input_ids[chosen] == tokenizer.mask_token_id).mean(),
        (input_ids[chosen] == ids[chosen]).mean(),
    ]
    assert shares == pytest.approx([0.15, 0.8, 0.1], abs=0.01)


def test_masks_depend_on_seed_epoch_and_sequence_and_on_nothing_else(tokenizer):
    ids = np.arange(5, 69, dtype=np.int32)
    base = Masker(tokenizer, seed=1).mask(ids, 0)
    assert np.array_equal(base, Masker(tokenizer, seed=1).mask(ids.copy(), 0))
    for masker, sequence, epoch in [(Masker(tokenizer, 2), ids, 0), (Masker(tokenizer, 1), ids, 1)]:
        assert not np.array_equal(base[1], masker.mask(sequence, epoch)[1])
    other = ids.copy()
    other[-1] = 100
    assert not np.array_equal(base[1][:-1], Masker(tokenizer, 1).mask(other, 0)[1][:-1])


def test_a_tokenizer_without_mask_and_a_bad_probability_are_refused(tokenizer):
    with pytest.raises(UserError, match=r"\[MASK\]"):
        Masker(SimpleNamespace(mask_token_id=None, name_or_path="x"), 0)
    with pytest.raises(UserError, match=r"--mlm_probability 1.5"):
        Masker(tokenizer, 0, probability=1.5)


def test_cutting_keeps_every_prediction_once(tokenizer):
    ids = np.arange(100, 164)
    labels = np.where(np.arange(64) % 7 == 3, ids, -100)
    pieces = cut(ids, labels, np.full(64, 2), length=12, pad_id=1)
    assert pieces.input_ids.shape == (7, 12)  # 62 tokens in bodies of 10
    assert (pieces.input_ids[:, 0] == ids[0]).all() and pieces.input_ids[0, 11] == ids[-1]
    assert np.array_equal(pieces.labels[pieces.labels != -100], labels[labels != -100])
    assert np.array_equal(pieces.input_ids[pieces.labels != -100], ids[labels != -100])
    assert pieces.attention_mask.sum() == 62 + 2 * 7 and (pieces.input_ids[pieces.attention_mask == 0] == 1).all()
    assert pieces.text_bytes == 2 * (labels != -100).sum()
    whole = cut(ids, labels, np.full(64, 2), length=64, pad_id=1)
    assert np.array_equal(whole.input_ids[0], ids) and np.array_equal(whole.labels[0], labels)


def test_scores_equal_a_plain_computation(models, tokenizer, tmp_path):
    (tmp_path / "val.txt").write_text(tiny.text(3_000))
    packed = pack(
        TextFile(str(tmp_path / "val.txt")), tokenizer, 64, tmp_path / "pack", packing=Packing(count_bytes=True)
    )
    native, ours = (model.eval() for model in models)
    nats, tokens, text_bytes = 0.0, 0, 0
    for row in range(5):
        ids, labels = (torch.from_numpy(a) for a in Masker(tokenizer, 0).mask(packed[row]["input_ids"], 0))
        logits = native(ids[None]).logits[0]
        nats += F.cross_entropy(logits, labels, reduction="sum").item()
        tokens += int((labels != -100).sum())
        text_bytes += int(packed[row]["n_bytes"][labels.numpy() != -100].sum())
    scores = score(ours, packed, 5, tokenizer, Accelerator(cpu=True), length=64, batch_size=2)
    assert (scores.tokens, scores.text_bytes) == (tokens, text_bytes)
    assert scores.nats == pytest.approx(nats, rel=1e-6)
    metrics = scores.metrics("eval", "_64")
    assert metrics["eval_loss_64"] == pytest.approx(nats / tokens, rel=1e-6)
    assert metrics["eval_perplexity_64"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert metrics["eval_bits_per_byte_64"] == pytest.approx(nats / math.log(2) / text_bytes, rel=1e-6)
    short = score(ours, packed, 5, tokenizer, Accelerator(cpu=True), length=16, batch_size=2)
    assert (short.tokens, short.text_bytes) == (tokens, text_bytes) and short.nats != scores.nats
