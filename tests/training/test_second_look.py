"""A second look: its places are the likeliest, the second reading is the native model's, and the setting travels."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LongformerForQuestionAnswering

from foundation.cli import UserError
from training.average_adapters import average
from training.qa import second_look
from training.qa.model import add_lora, load_qa_model
from training.qa.predict import read_windows
from training.qa.second_look import AROUND, LONGEST, likely_places
from training.qa.windows import Windower, collate

from . import qa_tiny
from .launch import run, succeed
from .test_finetune import SCRIPT, flags


def by_hand(starts, ends, document, places):
    """The definition, span by span."""
    inside = [i for i, yes in enumerate(document) if yes]
    best = {i: max(starts[i] + ends[j] for j in inside if i <= j < i + LONGEST) for i in inside}
    found: set[int] = set()
    left = set(inside)
    for _ in range(places):
        if not left:
            break
        first = max(sorted(left), key=lambda i: best[i])
        near = set(range(first - AROUND, first + AROUND + 1))
        found |= near & set(inside)
        left -= near
    return [i in found for i in range(len(document))]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("places", [1, 3, 9])
def test_places_are_the_likeliest_that_do_not_touch(seed, places):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(5, 300))
    prefix = int(rng.integers(1, 5))
    starts, ends = rng.normal(size=(2, 2, length)).astype(np.float32)
    document = np.zeros((2, length), dtype=bool)
    document[0, prefix : length - 1] = True
    document[1, prefix : max(prefix + 1, length // 2)] = True
    ours = likely_places(*map(torch.from_numpy, (starts, ends, document)), places)
    for row in range(2):
        assert ours[row].tolist() == by_hand(starts[row], ends[row], document[row], places)


def test_an_empty_document_has_no_place():
    nothing = torch.zeros(1, 7, dtype=torch.bool)
    assert not likely_places(torch.randn(1, 7), torch.randn(1, 7), nothing, 3).any()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Larger weights than a fresh model's, so that who attends to whom is seen in the logits."""
    folder = qa_tiny.checkpoint(tmp_path_factory.mktemp("base") / "model")
    model = LongformerForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".self." in name or "embeddings" in name:
                parameter.mul_(8)
    model.save_pretrained(folder)
    return folder


def batch_of(model, tokenizer):
    windower = Windower(tokenizer, 60, 8)
    texts = ["the water runs over river to a sea 3. It is älvar. " * 3, "over text"]
    windows = [next(windower.windows("runs over?", windower.document(text))) for text in texts]
    return windows, collate(windows, model.config, tokenizer.pad_token_id)


def test_the_second_reading_is_the_native_model_s_with_those_places_global(base, monkeypatch):
    monkeypatch.setattr(second_look, "AROUND", 3)
    model, tokenizer = load_qa_model(str(base), second_look=2)
    windows, batch = batch_of(model, tokenizer)
    native = LongformerForQuestionAnswering.from_pretrained(base).eval()
    with torch.no_grad():
        first = native(**batch)
        mask = batch["global_attention_mask"].clone()
        for row, window in enumerate(windows):
            inside = [window.prefix_length <= i < len(window) - 1 for i in range(mask.shape[1])]
            monkeypatch.setitem(globals(), "AROUND", 3)
            places = by_hand(first.start_logits[row].tolist(), first.end_logits[row].tolist(), inside, 2)
            mask[row] |= torch.tensor(places).long()
        again = native(**{**batch, "global_attention_mask": mask})
    assert (mask.sum(1) > batch["global_attention_mask"].sum(1)).all()
    read = read_windows(model, windows, tokenizer.pad_token_id, 5, 10)
    torch.testing.assert_close(read.start_logits, again.start_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(read.end_logits, again.end_logits, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(read.start_logits, first.start_logits, atol=1e-3)
    once, _ = load_qa_model(str(base), second_look=0)
    read_once = read_windows(once, windows, tokenizer.pad_token_id, 5, 10)
    torch.testing.assert_close(read_once.start_logits, first.start_logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_every_weight_learns_from_the_second_reading_alone(base, half):
    """Also under autocast, where copies of the weights are kept that the first reading made without gradients."""
    model, tokenizer = load_qa_model(str(base), second_look=2)
    _, batch = batch_of(model, tokenizer)

    def gradients(read):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            read().start_logits[:, 5].sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    seen = {}
    forward = model.forward
    model.forward = lambda **inputs: seen.update(inputs) or forward(**inputs)
    ours = gradients(lambda: second_look.read(model, batch, 2))
    model.forward = forward
    expected = gradients(lambda: model(**seen))
    assert ours.keys() == expected.keys() and "longformer.encoder.layer.0.attention.self.query_global.weight" in ours
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-5)


def test_an_adapter_keeps_it_and_a_flag_overrides_it(base, tmp_path):
    data = qa_tiny.squad_file(tmp_path / "squad.json")
    more = {"do_train": True, "lora_r": 2, "second_look": 3, "look_share": 1.0, "max_steps": 2}
    succeed(SCRIPT, flags(base, data, tmp_path / "adapter", **more))
    written = tmp_path / "adapter" / "reading.json"
    assert json.loads(written.read_text()) == {"second_look": 3}
    assert "the 3 likeliest places" in (tmp_path / "adapter" / "README.md").read_text()
    assert load_qa_model(str(tmp_path / "adapter" / "checkpoint-2"))[0].config.second_look == 3
    assert load_qa_model(str(tmp_path / "adapter"))[0].config.second_look == 3
    assert second_look.places_of(load_qa_model(str(tmp_path / "adapter"), second_look=0)[0]) == 0
    assert load_qa_model(str(tmp_path / "adapter"), train_adapter=True)[0].config.second_look == 3
    mean = average([tmp_path / "adapter", tmp_path / "adapter"], tmp_path / "mean")
    assert (mean / "reading.json").read_bytes() == written.read_bytes()
    written.write_text('{"second_look": "many"}')
    with pytest.raises(UserError, match="no whole number second_look"):
        load_qa_model(str(tmp_path / "adapter"))
    with pytest.raises(UserError, match=r"their reading\.json differ"):
        average([tmp_path / "adapter", mean], tmp_path / "other")


def test_a_whole_model_keeps_it_in_its_config(base, tmp_path):
    model, tokenizer = load_qa_model(str(base), second_look=4)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, _ = load_qa_model(str(tmp_path))
    assert second_look.places_of(again) == 4
    wrapped = add_lora(again, SimpleNamespace(model_name_or_path=str(base), revision=None, lora_r=2, lora_alpha=4,
                                              lora_dropout=0.0))  # fmt: skip
    assert second_look.places_of(wrapped) == 4


def test_an_adapter_that_reads_once_says_so_where_its_base_looks_again(base, tmp_path):
    model, tokenizer = load_qa_model(str(base), second_look=4)
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    again = str(tmp_path / "again")
    once, _ = load_qa_model(again, second_look=0)
    lora = SimpleNamespace(model_name_or_path=again, revision=None, lora_r=2, lora_alpha=4, lora_dropout=0.0)
    wrapped = add_lora(once, lora)
    wrapped.save_pretrained(tmp_path / "adapter")
    second_look.write_places(wrapped, tmp_path / "adapter")
    assert second_look.places_of(load_qa_model(str(tmp_path / "adapter"))[0]) == 0


@pytest.mark.parametrize("places", ["many", 33, True])
def test_a_config_that_says_no_number_is_named(base, tmp_path, places):
    model, tokenizer = load_qa_model(str(base))
    model.config.second_look = places
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=rf"^config\.json: second_look {places!r} is no number of places"):
        load_qa_model(str(tmp_path))


def test_a_share_of_no_second_look_is_refused(base, tmp_path):
    data = qa_tiny.squad_file(tmp_path / "squad.json")
    done = run(SCRIPT, flags(base, data, tmp_path / "out", do_train=True, look_share=0.7))
    assert done.returncode == 2 and "--look_share 0.7 is of a second look" in done.stderr


@pytest.mark.parametrize("places", [-1, 33])
def test_a_number_out_of_range_is_refused(base, places):
    with pytest.raises(UserError, match=f"--second_look {places} is no number of places: give 0 to 32"):
        load_qa_model(str(base), second_look=places)


def test_a_model_without_global_attention_is_refused(tmp_path):
    bert = qa_tiny.checkpoint(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match=r"--second_look 6 is for Longformers.*of type bert"):
        load_qa_model(str(bert), second_look=6)
    assert not hasattr(load_qa_model(str(bert), second_look=0)[0].config, "second_look")  # its config.json stays
