"""Any encoder as a QA model: heads, adapters, position tables, and what cannot be loaded."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from foundation.cli import UserError
from training.qa.model import add_lora, check_max_length, load_qa_model, reads_at_most
from training.qa.predict import predict
from training.qa.windows import Windower, collate

from . import qa_tiny

LORA = {"lora_r": 2, "lora_alpha": None, "lora_dropout": 0.0}
ARCHITECTURES = ["bert", "xlm-roberta", "longformer", "modernbert"]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def checkpoint(request, tmp_path_factory):
    return qa_tiny.checkpoint(tmp_path_factory.mktemp(request.param), request.param)


def first_batch(model, tokenizer):
    windower = Windower(tokenizer, 48, 8)
    row = qa_tiny.rows()[0]
    return collate(list(windower.windows(row["question"], windower.document(row["context"]))), model.config, 1)


def test_every_architecture_answers_within_its_positions(checkpoint):
    model, tokenizer = load_qa_model(str(checkpoint))
    assert reads_at_most(model) == qa_tiny.POSITIONS
    assert check_max_length(model, None) == qa_tiny.POSITIONS
    with pytest.raises(UserError, match="--max_length 65 is above the 64 tokens"):
        check_max_length(model, 65)
    long_row = {"id": "long", "question": "over?", "context": qa_tiny.rows()[0]["context"] * 6}
    rows = [*qa_tiny.rows(), long_row]
    answers = predict(model, Windower(tokenizer, 64, 16), rows, batch_size=3, progress=False)
    assert list(answers) == [row["id"] for row in rows]
    for row in rows:
        best = answers[row["id"]].best
        assert row["context"][best.start : best.end] == best.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_checkpoint_in_half_precision_is_trained_in_float32(tmp_path, dtype):
    qa_tiny.model("bert", 300).to(dtype).save_pretrained(tmp_path)
    qa_tiny.tokenizer().save_pretrained(tmp_path)
    model, _ = load_qa_model(str(tmp_path), fresh_head=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_batch_size_changes_no_answer(checkpoint):
    model, tokenizer = load_qa_model(str(checkpoint))
    one, many = (
        predict(model, Windower(tokenizer, 40, 8), qa_tiny.rows(), batch_size=size, progress=False) for size in (1, 7)
    )
    for key, answers in one.items():
        assert answers.text() == many[key].text()
        assert answers.null_score == pytest.approx(many[key].null_score, abs=1e-4)


def test_adapter_is_saved_small_and_merges_to_what_was_trained(checkpoint, tmp_path):
    model, tokenizer = load_qa_model(str(checkpoint))
    arguments = SimpleNamespace(model_name_or_path=str(checkpoint), revision=None, **LORA)
    wrapped = add_lora(model, arguments)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                assert "lora_" not in name
    batch = first_batch(model, tokenizer)
    expected = wrapped.eval()(**batch)
    wrapped.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "adapter_model.safetensors"))
    assert any("lora_A" in name for name in names) and any("qa_outputs" in n or "classifier" in n for n in names)
    assert not any("word_embeddings" in name for name in names)
    for loaded in (load_qa_model(str(tmp_path)), load_qa_model(str(checkpoint), adapter=str(tmp_path))):
        outputs = loaded[0](**batch)
        for name in ("start_logits", "end_logits"):
            assert torch.allclose(getattr(outputs, name), getattr(expected, name), atol=1e-5)


def test_saving_an_adapter_asks_the_hub_nothing_and_warns_of_nothing(tmp_path, monkeypatch, recwarn):
    asked = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *words: asked.append(words))
    model = add_lora(qa_tiny.model("bert", 300), SimpleNamespace(model_name_or_path="embedded", revision=None, **LORA))
    model.save_pretrained(tmp_path)
    qa_tiny.tokenizer().save_pretrained(tmp_path)
    qa_tiny.model("bert", 300).save_pretrained(tmp_path / "base")
    monkeypatch.setattr(
        "training.qa.model.resolve", lambda name: str(tmp_path / "base") if name == "embedded" else name
    )
    load_qa_model(str(tmp_path), train_adapter=True)[0].save_pretrained(tmp_path / "further")
    assert (tmp_path / "further" / "adapter_model.safetensors").is_file()
    assert not asked
    assert not [str(each.message) for each in recwarn if "gradient_checkpointing" in str(each.message)]


def test_an_adapter_keeps_the_revision_of_its_base(tmp_path, loopback_hub, monkeypatch):
    """Two revisions of one base with other weights: the adapter is merged into the one it was trained on."""
    loopback_hub.here(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    api, base = loopback_hub.api(), qa_tiny.model("bert", 300)
    api.create_repo("org/base")
    api.create_branch("org/base", branch="v2")
    qa_tiny.tokenizer().save_pretrained(tmp_path / "base")
    for branch in ("main", "v2"):
        base.save_pretrained(tmp_path / "base")
        api.upload_folder(repo_id="org/base", folder_path=tmp_path / "base", revision=branch)
        torch.nn.init.ones_(base.qa_outputs.bias)
    model, tokenizer = load_qa_model("org/base", revision="v2")
    add_lora(model, SimpleNamespace(model_name_or_path="org/base", revision="v2", **LORA)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    further, _ = load_qa_model(str(tmp_path), train_adapter=True)
    further.save_pretrained(tmp_path / "further")
    for folder in (tmp_path, tmp_path / "further"):
        config = json.loads((folder / "adapter_config.json").read_text())
        assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "v2")
    monkeypatch.setattr("training.qa.model._with_adapter", lambda model, *_: model)
    assert load_qa_model(str(tmp_path))[0].qa_outputs.bias.tolist() == [1, 1]


@pytest.mark.parametrize("family", ["XLMRobertaXL", "Xmod", "Data2VecText", "RobertaPreLayerNorm", "MPNet", "Bert"])
def test_the_longest_sequence_that_is_promised_is_read(family):
    config = getattr(transformers, f"{family}Config")(
        **qa_tiny.SIZES, vocab_size=300, max_position_embeddings=qa_tiny.POSITIONS + 2, default_language="en_XX"
    )
    model = getattr(transformers, f"{family}ForQuestionAnswering")(config).eval()
    tokens = reads_at_most(model)
    assert tokens == qa_tiny.POSITIONS + 2 * (family == "Bert")
    ids = torch.full((1, tokens), 7)
    assert model(input_ids=ids, attention_mask=torch.ones_like(ids)).start_logits.isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, tokens + 1), 7), attention_mask=torch.ones(1, tokens + 1))


def test_longformer_adapter_reaches_the_global_projections(tmp_path):
    model, _ = load_qa_model(str(qa_tiny.checkpoint(tmp_path)))
    arguments = SimpleNamespace(model_name_or_path="x", revision=None, **LORA)
    trained = {name for name, p in add_lora(model, arguments).named_parameters() if p.requires_grad}
    for projection in ("query", "key_global", "value_global", "query_global", "intermediate.dense"):
        assert any(f".{projection}.lora_A" in name for name in trained), projection


def test_no_head_is_an_error_unless_training_starts_one(tmp_path, caplog):
    model = qa_tiny.model("longformer", 300)
    model.longformer.save_pretrained(tmp_path)
    qa_tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no question-answering head"):
        load_qa_model(str(tmp_path))
    load_qa_model(str(tmp_path), fresh_head=True)
    assert "a fresh one is started" in caplog.text


def test_weights_that_are_lost_are_no_fresh_start(tmp_path):
    qa_tiny.checkpoint(tmp_path, "bert")
    weights = load_file(tmp_path / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 weights of its encoder"):
        load_qa_model(str(tmp_path), fresh_head=True)


def test_missing_checkpoint_and_foreign_adapter_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_qa_model(str(tmp_path / "nothing"))
    qa_tiny.checkpoint(tmp_path / "model")
    with pytest.raises(UserError, match="does not fit this model"):
        load_qa_model(str(tmp_path / "model"), adapter=str(tmp_path / "model"))


def test_dropout_is_set_everywhere(checkpoint):
    model, _ = load_qa_model(str(checkpoint), dropout=0.0)
    probabilities = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert all(p == 0 for p in probabilities)
    model.train()
    torch.manual_seed(1)
    tokenizer = qa_tiny.tokenizer()
    batch = first_batch(model, tokenizer)
    assert torch.equal(model(**batch).start_logits, model(**batch).start_logits)


def test_what_an_adapter_fills_is_not_reported_as_missing(tmp_path, capfd, caplog):
    """transformers says that the head is "newly initialized", which the FAQ calls a bad sign."""
    model = qa_tiny.model("longformer", 300)
    model.longformer.save_pretrained(tmp_path / "base")
    qa_tiny.tokenizer().save_pretrained(tmp_path / "base")
    base, tokenizer = load_qa_model(str(tmp_path / "base"), fresh_head=True)
    arguments = SimpleNamespace(model_name_or_path=str(tmp_path / "base"), revision=None, **LORA)
    add_lora(base, arguments).save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    capfd.readouterr()
    caplog.clear()
    for train_adapter in (False, True):
        load_qa_model(str(tmp_path / "adapter"), train_adapter=train_adapter)
    said = "".join(capfd.readouterr()) + caplog.text
    assert "MISSING" not in said and "newly" not in said and "a fresh one" not in said
    transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "base")  # a plain loading still reports it
    assert "qa_outputs" in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "names no base model in its adapter_config.json: put base_model_name_or_path there"),
        ('{"base_model_name_or_path": null}', "names no base model"),
        ("{", "is not JSON"),
        ("[]", "an object was expected"),
    ],
)
def test_an_adapter_without_a_base_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(UserError, match=sentence):
        load_qa_model(str(tmp_path))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "asks for what this machine lacks .*optimum"),
        ({"attn_implementation": "flash_attention_2"}, "lacks .*FlashAttention2.*take quantization_config or attn"),
        ({"attn_implementation": "of my own"}, "cannot be loaded .*of my own"),
    ],
)
def test_what_config_json_asks_for_and_this_machine_lacks_is_one_sentence(tmp_path, entry, sentence):
    qa_tiny.checkpoint(tmp_path, "bert")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **entry}))
    with pytest.raises(UserError, match=sentence):
        load_qa_model(str(tmp_path))
