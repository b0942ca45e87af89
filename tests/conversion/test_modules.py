"""sentence-transformers in, sentence-transformers out: modules, prompts and embeddings are the source's."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer import modules as models

from conversion.convert import convert
from conversion.report import VerificationError
from conversion.verify import verify
from foundation.cli import UserError

from .checkpoints import TEXTS, edit_config, load_tensors, make_checkpoint

SMALL = {"max_pos": 256, "attention_window": 128}
PROMPTS = {"query": "query: ", "document": "passage: "}


def make_embedder(folder, model_type="xlm-roberta", pooling="mean", dense=True):
    """An embedding model as sentence-transformers itself saves it."""
    encoder = models.Transformer(str(make_checkpoint(folder.with_name("encoder"), model_type, positions=128)))
    parts = [encoder, models.Pooling(32, pooling_mode=pooling)]
    if dense:
        torch.manual_seed(0)
        parts += [models.Dense(32, 16), models.Normalize()]
    SentenceTransformer(modules=parts, prompts=PROMPTS, device="cpu").save(str(folder))
    return folder


def encode(folder, **options):
    model = SentenceTransformer(str(folder), device="cpu")
    return model.encode([*TEXTS, TEXTS[0]], show_progress_bar=False, **options)


def assert_same_embeddings(source, long):
    for prompt in (None, *PROMPTS):
        before, after = encode(source, prompt_name=prompt), encode(long, prompt_name=prompt)
        assert before.shape == after.shape and np.abs(before - after).max() < 1e-5
    assert not np.allclose(encode(long, prompt_name="query"), encode(long))


@pytest.mark.parametrize("model_type", ["xlm-roberta", "bert"])
def test_modules_prompts_and_embeddings_are_the_sources(tmp_path, model_type, capsys):
    source = make_embedder(tmp_path / "source", model_type)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert_same_embeddings(source, long)
    assert SentenceTransformer(str(long), device="cpu").max_seq_length == 256
    report = json.loads((long / "conversion_report.json").read_text())
    embeddings = next(check for check in report["proof"]["checks"] if check["name"] == "embeddings")
    assert embeddings["passed"] and embeddings["difference"] < 1e-5 and "2 prompts" in embeddings["detail"]
    assert "not carried over" not in capsys.readouterr().err


def test_the_old_layout_with_the_encoder_in_a_folder(tmp_path):
    """0_Transformer, settings under their old names, pooling by flags, weights of the dense layer as .bin."""
    source = make_embedder(tmp_path / "new")
    old = tmp_path / "old"
    shutil.copytree(source, old)
    (old / "0_Transformer").mkdir()
    at_top = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    for name in at_top:
        (old / name).rename(old / "0_Transformer" / name)
    (old / "sentence_bert_config.json").unlink()
    settings = {"max_seq_length": 100, "do_lower_case": False}
    (old / "0_Transformer" / "sentence_xlm-roberta_config.json").write_text(json.dumps(settings))
    modules = json.loads((old / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    for module, kind in zip(modules, kinds, strict=True):
        module["type"] = f"sentence_transformers.models.{kind}"
    (old / "modules.json").write_text(json.dumps(modules))
    flags = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (old / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    dense = old / "2_Dense"
    torch.save(load_tensors(dense), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()
    long = convert(str(old), tmp_path / "long", **SMALL)
    assert_same_embeddings(source, long)
    assert sorted(path.name for path in (long / "2_Dense").iterdir()) == ["config.json", "model.safetensors"]
    assert not (long / "0_Transformer").exists()
    assert "old" in (long / "conversion_report.json").read_text()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_first_token_of_a_long_text_sees_all_of_it(tmp_path, pooling):
    """sentence-transformers passes no mask: the long folder asks for a native class that needs none."""
    source = make_embedder(tmp_path / "source", pooling=pooling, dense=False)
    long = convert(str(source), tmp_path / "long", max_pos=256, attention_window=32)
    short = SentenceTransformer(str(source), device="cpu"), SentenceTransformer(str(long), device="cpu")
    for model in short:
        model.max_seq_length = 16
    before, after = (model.encode(TEXTS, show_progress_bar=False) for model in short)
    assert np.abs(before - after).max() < 1e-5
    text = " ".join(TEXTS)
    inputs = transformers.AutoTokenizer.from_pretrained(long)(text, return_tensors="pt")
    mask = torch.zeros_like(inputs["input_ids"])
    assert mask.shape[1] > 64
    mask[:, 0] = 1
    with torch.no_grad():
        model = transformers.AutoModel.from_pretrained(long).eval()
        states = model(**inputs, global_attention_mask=mask).last_hidden_state[0].numpy()
    expected = states[0] if pooling == "cls" else states.mean(0)
    assert np.abs(SentenceTransformer(str(long), device="cpu").encode(text) - expected).max() < 1e-5


@pytest.mark.parametrize("first_token_global", [True, False])
def test_an_embedder_made_longer_goes_on_as_it_reads(tmp_path, first_token_global):
    long = convert(str(make_embedder(tmp_path / "source", dense=False)), tmp_path / "long", **SMALL)
    weights = load_tensors(long)
    torch.manual_seed(1)
    trained = {
        name: value + torch.randn_like(value) / 9 if "_global" in name else value for name, value in weights.items()
    }
    save_file(trained, long / "model.safetensors", {"format": "pt"})
    settings = long / "sentence_bert_config.json"
    if not first_token_global:
        settings.write_text('{"max_seq_length": 256}')
    longer = convert(str(long), tmp_path / "longer", max_pos=512, attention_window=128)
    text = [" ".join(TEXTS)]
    before, after = (SentenceTransformer(str(folder), device="cpu").encode(text) for folder in (long, longer))
    assert np.abs(before - after).max() < 1e-5
    assert ("transformer_task" in (longer / settings.name).read_text()) == first_token_global


def test_a_changed_module_fails_the_proof(tmp_path):
    source = make_embedder(tmp_path / "source")
    long = convert(str(source), tmp_path / "long", **SMALL)
    modules = json.loads((long / "modules.json").read_text())
    (long / "modules.json").write_text(json.dumps(modules[:-1]))  # no longer normalised
    with pytest.raises(VerificationError, match="embeddings"):
        verify(str(source), long)
    (long / "modules.json").write_text(json.dumps(modules))
    settings = json.loads((long / "config_sentence_transformers.json").read_text())
    settings["prompts"]["query"] = "question: "
    (long / "config_sentence_transformers.json").write_text(json.dumps(settings))
    with pytest.raises(VerificationError, match="prompts"):
        verify(str(source), long)


@pytest.mark.parametrize(
    "entry", [{"type": "custom_st.Transformer", "path": ""}, {"path": "1"}, {"type": "x", "path": "/etc"}]
)
def test_modules_that_are_not_the_librarys(tmp_path, entry):
    source = make_embedder(tmp_path / "source", dense=False)
    (source / "modules.json").write_text(json.dumps([entry]))
    with pytest.raises(UserError, match=r"modules\.json'"):
        convert(str(source), tmp_path / "long", **SMALL)


@pytest.mark.parametrize("name", ["sentence_transformers", "sbert_ce_default_activation_function"])
def test_a_cross_encoder_keeps_activation_and_labels(tmp_path, name):
    """One label, whose score is the logit itself where its activation says so, not the usual sigmoid of it."""
    source = make_checkpoint(
        tmp_path / "source", "xlm-roberta", "ForSequenceClassification", num_labels=1, positions=128
    )
    identity = "torch.nn.modules.linear.Identity"
    edit_config(source, id2label={"0": "relevance"}, label2id={"relevance": 0})
    edit_config(source, **{name: {"activation_fn": identity} if name == "sentence_transformers" else identity})
    long = convert(str(source), tmp_path / "long", max_pos=256, attention_window=256)  # a pair fits half a window
    pairs = [(TEXTS[0], text) for text in TEXTS]
    before, after = (CrossEncoder(str(folder), device="cpu") for folder in (source, long))
    assert type(after.activation_fn) is torch.nn.Identity
    scores = after.predict(pairs, show_progress_bar=False)
    assert np.abs(before.predict(pairs, show_progress_bar=False) - scores).max() < 1e-5
    assert transformers.AutoConfig.from_pretrained(long).id2label == {0: "relevance"}
    assert after.max_seq_length == 256


def test_a_cross_encoder_that_the_library_saved(tmp_path):
    plain = make_checkpoint(tmp_path / "plain", "bert", "ForSequenceClassification", num_labels=1, positions=128)
    CrossEncoder(str(plain), device="cpu", activation_fn=torch.nn.Identity()).save_pretrained(str(tmp_path / "source"))
    long = convert(
        str(tmp_path / "source"), tmp_path / "long", max_pos=256, attention_window=256
    )  # a pair fits half a window
    pairs = [(TEXTS[0], text) for text in TEXTS]
    before, after = (CrossEncoder(str(folder), device="cpu") for folder in (tmp_path / "source", long))
    scores = [model.predict(pairs, show_progress_bar=False) for model in (before, after)]
    assert np.abs(scores[0] - scores[1]).max() < 1e-5
    assert type(after.activation_fn) is torch.nn.Identity
