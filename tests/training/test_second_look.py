"""A second look: its places are the likeliest, the second reading is the native model's, and the setting travels."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LongformerForQuestionAnswering

from foundation.cli import UserError
from training.average_adapters import average
from training.qa import second_look
from training.qa.model import add_lora, freeze_all_but, load_qa_model
from training.qa.predict import read_windows
from training.qa.second_look import AROUND, LONGEST, answer_scores, likely_places, word_scores
from training.qa.windows import Windower, collate

from . import qa_tiny
from .launch import run, succeed
from .test_finetune import SCRIPT, flags


def likeliest_spans(starts, ends, inside):
    """The definition, span by span."""
    return {i: max(starts[i] + ends[j] for j in inside if i <= j < i + LONGEST) for i in inside}


def shared_words(ids, question, inside, around):
    """The definition, token by token."""
    document = [ids[i] for i in inside]
    weights = {i: math.log(len(inside) / document.count(ids[i])) if ids[i] in question else 0.0 for i in inside}
    return {
        i: sum(weight * (1 - abs(i - j) / (around + 1)) for j, weight in weights.items() if abs(i - j) <= around)
        for i in inside
    }


def by_hand(words, answers, more, inside, places, around):
    """The definition, place by place."""
    found: set[int] = set()
    left = set(inside)
    for number in range(places):
        if not left:
            break
        by_words = number < places // 2 and any(words[i] > 0 for i in left)
        first = max(sorted(left), key=lambda i: (words if by_words else answers)[i])
        near = set(range(first - around, first + (around if by_words else max(around, more[first])) + 1))
        found |= near & set(inside)
        left -= near
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("places", [1, 3, 9])
def test_places_are_the_likeliest_that_do_not_touch(seed, places):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(9, 300))
    prefix = int(rng.integers(1, 5))
    starts, ends = rng.normal(size=(2, 2, length)).astype(np.float32)
    ids = rng.integers(0, 40, size=(2, length))
    document, question = np.zeros((2, 2, length), dtype=bool)
    document[0, prefix : length - 1] = True
    document[1, prefix : max(prefix + 1, length // 2)] = True
    question[:, :prefix] = True
    inside, asked = torch.from_numpy(document), torch.from_numpy(question)
    words = word_scores(torch.from_numpy(ids), asked, inside)
    answers = answer_scores(torch.from_numpy(starts), torch.from_numpy(ends), inside)
    more = answers[1].tolist()
    ours = likely_places(words, answers, inside, places)
    for row in range(2):
        tokens = [i for i in range(length) if document[row, i]]
        shared = shared_words(ids[row].tolist(), set(ids[row, :prefix].tolist()), tokens, AROUND)
        spans = likeliest_spans(starts[row], ends[row], tokens)
        np.testing.assert_allclose([words[row, i] for i in tokens], [shared[i] for i in tokens], atol=1e-3)
        np.testing.assert_allclose([answers[0][row, i] for i in tokens], [spans[i] for i in tokens], rtol=1e-5)
        assert set(np.nonzero(ours[row].numpy())[0]) == by_hand(
            words[row].tolist(), spans, more[row], tokens, places, AROUND
        )


def test_without_shared_words_every_place_is_a_likely_answer():
    words, answers = torch.zeros(1, 200), torch.zeros(1, 200)
    answers[0, [20, 90, 150]] = torch.tensor([3.0, 2.0, 1.0])
    more = torch.zeros(1, 200, dtype=torch.long)
    more[0, 90] = 17  # an answer of 18 tokens
    found = likely_places(words, (answers, more), torch.ones(1, 200, dtype=torch.bool), 3)
    assert found[0].nonzero()[:, 0].tolist() == [*range(8, 33), *range(78, 108), *range(138, 163)]


def test_an_empty_document_has_no_place():
    nothing = torch.zeros(1, 7, dtype=torch.bool)
    assert not likely_places(torch.rand(1, 7), (torch.randn(1, 7), nothing.long()), nothing, 3).any()


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


QUESTION = "runs over?"
LONG, SHORT = "the water runs over river to a sea 3. It is älvar. " * 3, "over text"


def batch_of(model, tokenizer, *texts):
    windower = Windower(tokenizer, 60, 8)
    windows = [next(windower.windows(QUESTION, windower.document(text))) for text in texts]
    return windows, collate(windows, model.config, tokenizer.pad_token_id)


def test_the_logits_are_the_mean_of_the_native_model_s_of_document_and_text_cut_out(base, monkeypatch):
    monkeypatch.setattr(second_look, "AROUND", 2)
    model, tokenizer = load_qa_model(str(base), second_look=4)
    (window,), batch = batch_of(model, tokenizer, LONG)
    ids, prefix = window.input_ids.tolist(), window.prefix_length
    inside = list(range(prefix, len(ids) - 1))
    native = LongformerForQuestionAnswering.from_pretrained(base).eval()
    with torch.no_grad():
        first = native(**batch)
        words = shared_words(ids, set(ids[:prefix]), inside, 2)
        spans = likeliest_spans(first.start_logits[0].tolist(), first.end_logits[0].tolist(), inside)
        document = torch.tensor([[i in inside for i in range(len(ids))]])
        more = answer_scores(first.start_logits, first.end_logits, document)[1][0].tolist()
        places = by_hand(words, spans, more, inside, 4, 2)
        assert len(places) < len(inside)
        kept = [i for i in range(len(ids)) if i in places or i not in inside]
        text = torch.tensor([[ids[i] for i in kept]])
        again = native(text, torch.ones_like(text), global_attention_mask=torch.ones_like(text))
    read = read_windows(model, [window], tokenizer.pad_token_id, 5, 10)
    for name in ("start_logits", "end_logits"):
        ours, mean = getattr(read, name), (first[name][0, kept] + again[name][0]) / 2
        torch.testing.assert_close(ours[0, kept], mean, rtol=1e-4, atol=1e-5)
        assert all(ours[0, i] == second_look.NEVER for i in inside if i not in places)
    assert not torch.allclose(read.start_logits[0, kept], first.start_logits[0, kept], atol=1e-3)
    assert all({prefix + span.start, prefix + span.end} <= places for span in read.spans[0][0])
    once, _ = load_qa_model(str(base), second_look=0)
    read_once = read_windows(once, [window], tokenizer.pad_token_id, 5, 10)
    torch.testing.assert_close(read_once.start_logits, first.start_logits, rtol=1e-4, atol=1e-5)


def test_a_short_document_is_read_once_in_any_company(base, monkeypatch):
    """Also beside a long one, whose second reading is what it is alone."""
    monkeypatch.setattr(second_look, "AROUND", 2)
    model, tokenizer = load_qa_model(str(base), second_look=4)
    windows, batch = batch_of(model, tokenizer, LONG, SHORT)
    with torch.no_grad():
        plain = model(**batch_of(model, tokenizer, SHORT)[1])
        both = second_look.read(model, batch, 4)
        long = second_look.read(model, batch_of(model, tokenizer, LONG)[1], 4)
        short = second_look.read(model, batch_of(model, tokenizer, SHORT)[1], 4)
    size = len(windows[1])
    torch.testing.assert_close(short.start_logits, plain.start_logits)
    torch.testing.assert_close(both.start_logits[1, :size], plain.start_logits[0, :size], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.end_logits[0], long.end_logits[0], rtol=1e-4, atol=1e-5)


def test_what_is_to_be_learned_is_read_again_with_its_surroundings(base, monkeypatch):
    monkeypatch.setattr(second_look, "AROUND", 2)
    model, tokenizer = load_qa_model(str(base), second_look=2)
    (window,), batch = batch_of(model, tokenizer, LONG)
    inside = range(window.prefix_length, len(window) - 1)
    with torch.no_grad():
        left_out = (second_look.read(model, batch, 2).start_logits[0] == second_look.NEVER).tolist()
        gold = next(i for i in inside if left_out[i] and left_out[i + 1])
        seen = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        seen[0, [0, gold, gold + 1]] = True
        again = second_look.read(model, batch, 2, seen).start_logits[0]
        learned = again.isneginf().tolist()
        text = batch["input_ids"][:, ~again.isneginf()]
        alone = model(text, torch.ones_like(text), global_attention_mask=torch.ones_like(text)).start_logits[0]
        torch.testing.assert_close(again[~again.isneginf()], alone, rtol=1e-4, atol=1e-5)
        monkeypatch.setattr(second_look, "AROUND", window.prefix_length)
        seen[0, [gold, gold + 1]] = False  # "no answer", whose token stands in the question
        nothing = [second_look.read(model, batch, 1, each).start_logits for each in (torch.zeros_like(seen), seen)]
    assert [learned[i] for i in inside] == [left_out[i] and not gold - 2 <= i <= gold + 3 for i in inside]
    assert torch.equal(*nothing) and nothing[0].isneginf().any()


def test_places_do_not_depend_on_half_precision_or_company():
    torch.manual_seed(0)
    ids, document = torch.randint(0, 300, (4, 500)), torch.ones(4, 500, dtype=torch.bool)
    document[:, :9] = False
    words = word_scores(ids, ~document, document)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(word_scores(ids, ~document, document), words)
    for row in range(4):
        alone = word_scores(ids[row : row + 1], ~document[:1], document[:1])
        assert torch.equal(alone[0].argsort(stable=True), words[row].argsort(stable=True))


def test_moved_positions_stay_where_a_document_is_read_once(base, monkeypatch):
    """Alone, beside a long document, and as one of several processes."""
    monkeypatch.setattr(second_look, "AROUND", 2)
    model, tokenizer = load_qa_model(str(base), second_look=4)

    def moved(*texts):
        windows, batch = batch_of(model, tokenizer, *texts)
        positions = torch.arange(batch["input_ids"].shape[1]).repeat(len(texts), 1) + 2
        positions[:, windows[0].prefix_length :] += 3
        return {**batch, "position_ids": positions.masked_fill(batch["attention_mask"] == 0, 1)}

    with torch.no_grad():
        plain = model(**moved(SHORT)).start_logits[0]
        both = second_look.read(model, moved(LONG, SHORT), 4).start_logits
        long = second_look.read(model, batch_of(model, tokenizer, LONG)[1], 4).start_logits[0]
        monkeypatch.setattr(second_look, "_one_of_several", lambda: True)
        shared = second_look.read(model, moved(SHORT), 4).start_logits[0]
    torch.testing.assert_close(both[1, : len(plain)], plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared, plain, rtol=1e-4, atol=1e-5)
    read_again = ~long.isneginf()
    assert read_again.sum() < len(long)
    assert not model(**batch_of(model, tokenizer, SHORT)[1]).start_logits[0].allclose(plain, atol=1e-3)


@pytest.mark.parametrize("half", [False, True])
def test_every_weight_learns_from_the_second_reading_alone(base, half, monkeypatch):
    """Also under autocast, where copies of the weights are kept that the first reading made without gradients."""
    monkeypatch.setattr(second_look, "AROUND", 2)
    model, tokenizer = load_qa_model(str(base), second_look=2)
    _, batch = batch_of(model, tokenizer, LONG)

    def gradients(read):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            read().start_logits[:, 0].sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    seen = {}
    forward = model.forward
    model.forward = lambda **inputs: seen.update(inputs) or forward(**inputs)
    nothing = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    ours = gradients(lambda: second_look.read(model, batch, 2, nothing))
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
    written.write_text('{"second_look": 4}')
    with pytest.raises(UserError, match=r"the second_look of their reading\.json differs, 3 and 4: write the same"):
        average([tmp_path / "adapter", mean], tmp_path / "other")
    written.unlink()
    with pytest.raises(UserError, match=r"reading\.json differs, 3 and no file: write the same"):
        average([tmp_path / "adapter", mean], tmp_path / "other")


def test_the_global_maps_alone_can_be_trained(base, tmp_path):
    data = qa_tiny.squad_file(tmp_path / "squad.json")
    more = {"do_train": True, "second_look": 3, "look_share": 1.0, "max_steps": 2}
    succeed(SCRIPT, flags(base, data, tmp_path / "first", lora_r=2, **more))
    succeed(SCRIPT, flags(tmp_path / "first", data, tmp_path / "second", train_only="_global", **more))
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed == {name for name in one if "_global" in name} and len(changed) < len(one)
    model, _ = load_qa_model(str(tmp_path / "first"), train_adapter=True)
    with pytest.raises(UserError, match=r"--train_only 'globl' is in the name of no trained parameter: give a part"):
        freeze_all_but(model, "globl")


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


def test_a_distillation_without_an_update_of_its_own_is_refused(base, tmp_path):
    data = qa_tiny.squad_file(tmp_path / "squad.json")
    more = {"second_look": 2, "look_share": 1.0, "distil_length": 32}
    done = run(SCRIPT, flags(base, data, tmp_path / "out", do_train=True, **more))
    assert done.returncode == 2 and "--distil_length 32 acts in updates without a second look" in done.stderr


@pytest.mark.parametrize("places", [-1, 33])
def test_a_number_out_of_range_is_refused(base, places):
    with pytest.raises(UserError, match=f"--second_look {places} is no number of places: give 0 to 32"):
        load_qa_model(str(base), second_look=places)


def test_a_model_without_global_attention_is_refused(tmp_path):
    bert = qa_tiny.checkpoint(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match=r"--second_look 6 is for Longformers.*of type bert"):
        load_qa_model(str(bert), second_look=6)
    assert not hasattr(load_qa_model(str(bert), second_look=0)[0].config, "second_look")  # its config.json stays
