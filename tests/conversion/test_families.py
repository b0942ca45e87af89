"""Families beyond BERT's and RoBERTa's: ELECTRA, DistilBERT, and long models made longer; the others are refused."""

import json

import pytest
import torch
import transformers

from conversion.convert import convert
from conversion.families import REFUSED
from foundation.cli import UserError

from .checkpoints import edit_config, fill, load_tensors, make_checkpoint, make_tokenizer, save_tensors
from .test_convert import batch, difference
from .test_heads import compare

SMALL = {"max_pos": 256, "attention_window": 128}


def make_distilbert(folder, head="Model", **config):
    tokenizer = make_tokenizer("bert")
    fields = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48} | config
    config = transformers.DistilBertConfig(**fields, max_position_embeddings=128, pad_token_id=0)
    model = getattr(transformers, "DistilBert" + head)(config)
    fill(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_electra(folder, head="Model", **config):
    tokenizer = make_tokenizer("bert")
    fields = {"hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4} | config
    model = getattr(transformers, "Electra" + head)(
        transformers.ElectraConfig(
            **fields, vocab_size=len(tokenizer), intermediate_size=48, max_position_embeddings=128, pad_token_id=0
        )
    )
    fill(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


MAKERS = {"distilbert": make_distilbert, "electra": make_electra}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_hidden_states_equal_the_source(tmp_path, make):
    source = make(tmp_path / "source")
    long = convert(str(source), tmp_path / "long", **SMALL)
    before = transformers.AutoModel.from_pretrained(source, dtype=torch.float32)
    after = transformers.AutoModel.from_pretrained(long, dtype=torch.float32)
    assert type(after) is transformers.LongformerModel
    assert difference(before, after, batch(after, (5, 33, 64))) < 1e-5


@pytest.mark.parametrize("head", ["ForMaskedLM", "ForQuestionAnswering", "ForTokenClassification"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_heads_with_a_counterpart(tmp_path, make, head):
    source = make(tmp_path / "source", head, num_labels=2 if "Question" in head else 5)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert compare(source, long, "Longformer" + head) < 1e-5


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_classifier_with_another_activation_is_named_and_left_out(tmp_path, make, capsys):
    source = make(tmp_path / "source", "ForSequenceClassification")
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "dropped, Longformer has no place for them: classifier." in capsys.readouterr().err
    assert transformers.AutoConfig.from_pretrained(long).architectures == ["LongformerModel"]


def test_a_discriminator(tmp_path, capsys):
    convert(str(make_electra(tmp_path / "source", "ForPreTraining")), tmp_path / "long", **SMALL)
    assert "discriminator_predictions.dense.bias" in capsys.readouterr().err


def test_an_electra_whose_embeddings_are_narrower(tmp_path):
    source = make_electra(tmp_path / "source", embedding_size=16)
    with pytest.raises(UserError, match="embeddings are 16 wide and its layers 32"):
        convert(str(source), tmp_path / "long", **SMALL)


def test_settings_of_distilbert_under_their_other_names(tmp_path):
    fields = {"dropout": 0.21, "attention_dropout": 0.22, "activation": "relu"}
    source = make_distilbert(tmp_path / "source", **fields)
    config = transformers.AutoConfig.from_pretrained(convert(str(source), tmp_path / "long", **SMALL))
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.hidden_act) == tuple(
        fields.values()
    )
    assert (config.intermediate_size, config.layer_norm_eps, config.type_vocab_size) == (48, 1e-12, 1)


@pytest.mark.parametrize("head", ["Model", "ForQuestionAnswering", "ForMaskedLM"])
def test_a_long_model_made_longer(tmp_path, head, capsys):
    """Trained global projections are kept; the positions go on in the same way; it is proven against the long one."""
    short = make_checkpoint(tmp_path / "short", "xlm-roberta", head, positions=128)
    first = convert(str(short), tmp_path / "long", tile_from=64, verify=False, **SMALL)
    tensors = load_tensors(first)
    name = next(name for name in tensors if name.endswith("layer.1.attention.self.query_global.weight"))
    tensors[name] = torch.randn_like(tensors[name])
    save_tensors(first, tensors)
    if head == "ForQuestionAnswering":
        edit_config(first, second_look=6)
    capsys.readouterr()
    longer = convert(str(first), tmp_path / "longer", max_pos=512)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    expected = ["conversion_report.json"] + ["one vector for a whole text"] * (head == "Model")
    assert len(notes) == len(expected)
    assert all(any(words in note for note in notes) for words in expected)
    assert torch.equal(load_tensors(longer)[name], tensors[name])
    at_once = convert(str(short), tmp_path / "at-once", tile_from=64, max_pos=512, attention_window=128, verify=False)
    positions = next(name for name in tensors if name.endswith("position_embeddings.weight"))
    assert torch.equal(load_tensors(longer)[positions], load_tensors(at_once)[positions])
    config = transformers.AutoConfig.from_pretrained(longer)
    assert (config.tile_from, config.attention_window) == (64, [128, 128])
    assert getattr(config, "second_look", 0) == (6 if head == "ForQuestionAnswering" else 0)
    report = json.loads((longer / "conversion_report.json").read_text())
    assert report["proof"]["passed"] and any("97th global" in check["detail"] for check in report["proof"]["checks"])


def test_a_longformer_of_the_hub_made_longer(tmp_path):
    """As allenai's: entries of its own in the config, a buffer of old releases, one window for all layers."""
    tokenizer = make_tokenizer("roberta")
    config = transformers.LongformerConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=258, type_vocab_size=1, pad_token_id=1, attention_window=64,
    )  # fmt: skip
    model = transformers.LongformerModel(config)
    fill(model)
    model.save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    edit_config(tmp_path / "source", attention_mode="longformer", ignore_attention_mask=False)
    tensors = load_tensors(tmp_path / "source")
    save_tensors(tmp_path / "source", tensors | {"embeddings.position_ids": torch.arange(258)[None]})
    with pytest.raises(UserError, match="is a Longformer that reads 256 tokens already: use it as it is, or give more"):
        convert(str(tmp_path / "source"), tmp_path / "long", max_pos=256)
    convert(str(tmp_path / "source"), tmp_path / "long", max_pos=512)
    before, after = (transformers.AutoModel.from_pretrained(tmp_path / name) for name in ("source", "long"))
    assert difference(before, after, batch(before, (5, 70, 256))) < 1e-5


@pytest.mark.parametrize("model_type", ["deberta-v2", "mpnet", "xlm-roberta-xl", "modernbert", "albert"])
def test_a_family_that_cannot_be_is_refused_with_its_reason_and_the_nearest_that_can(tmp_path, model_type):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    edit_config(source, model_type=model_type)
    with pytest.raises(UserError) as raised:
        convert(str(source), tmp_path / "long", **SMALL)
    assert str(raised.value).endswith(f"is a {model_type}: {REFUSED[model_type]}")
