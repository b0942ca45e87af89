"""Every head with a counterpart comes out as that head, with the source's outputs; the others are named."""

import pytest
import torch
import transformers

from conversion.convert import convert
from conversion.families import AUTO_CLASSES

from .checkpoints import FAMILIES, edit_config, load_tensors, make_checkpoint, save_tensors

SMALL = {"max_pos": 256, "attention_window": 128}
HEADS = ("ForMaskedLM", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification")


def outputs(folder, long_class, ids, **more):
    model = getattr(transformers, AUTO_CLASSES[long_class]).from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
    return model, {key: value for key, value in found.items() if key.endswith("logits")}


def compare(source, long, long_class, tokens=60, choices=None):
    """Largest difference between the two models' logits."""
    vocabulary = transformers.AutoConfig.from_pretrained(source).vocab_size
    shape = (2, choices, tokens) if choices else (2, tokens)
    ids = torch.randint(8, vocabulary, shape, generator=torch.Generator().manual_seed(1))
    _, before = outputs(source, long_class, ids)
    model, after = outputs(long, long_class, ids, global_attention_mask=torch.zeros_like(ids))
    assert type(model).__name__ == long_class
    assert before.keys() == after.keys() and before
    difference = max((before[key] - after[key]).abs().max().item() for key in before)
    largest = max(logits.abs().max().item() for logits in before.values())
    print(f"{source.name} {long_class}: {difference:.1e}, of values up to {largest:.1f}")  # shown by pytest -rP
    return difference


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_head_gives_the_source_outputs(tmp_path, model_type, head):
    labels = 2 if "Question" in head else 5
    source = make_checkpoint(tmp_path / model_type, model_type, head, num_labels=labels, positions=128)
    long = convert(str(source), tmp_path / "long", **SMALL, verify=False)
    assert compare(source, long, "Longformer" + head) < 1e-5


def test_multiple_choice(tmp_path):
    for model_type in ("roberta", "bert"):
        source = make_checkpoint(tmp_path / model_type, model_type, "ForMultipleChoice", positions=128)
        long = convert(str(source), tmp_path / f"{model_type}-long", **SMALL)
        assert compare(source, long, "LongformerForMultipleChoice", choices=3) < 1e-5


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_untied_output_embedding_keeps_its_weight_and_bias(tmp_path, model_type):
    source = make_checkpoint(tmp_path / "source", model_type, "ForMaskedLM", tie_word_embeddings=False, positions=128)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert compare(source, long, "LongformerForMaskedLM") < 1e-5
    names = load_tensors(long)
    assert "lm_head.decoder.weight" in names and "lm_head.decoder.bias" in names


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_untied_head_of_older_files_has_one_bias_only(tmp_path, model_type):
    """transformers 4 saved `bias` and no `decoder.bias`; 5 would leave the missing one at zero."""
    source = make_checkpoint(tmp_path / "source", model_type, "ForMaskedLM", tie_word_embeddings=False, positions=128)
    tensors = load_tensors(source)
    decoder_bias = next(name for name in tensors if name.endswith("decoder.bias"))
    tensors[decoder_bias.replace("decoder.bias", "bias")] = tensors.pop(decoder_bias)
    save_tensors(source, tensors)
    long = convert(str(source), tmp_path / "long", **SMALL)
    found = load_tensors(long)
    expected = tensors[decoder_bias.replace("decoder.bias", "bias")]
    assert torch.equal(found["lm_head.decoder.bias"], expected) and torch.equal(found["lm_head.bias"], expected)
    model, _ = outputs(long, "LongformerForMaskedLM", torch.tensor([[9, 8, 7]]))
    assert torch.equal(model.lm_head.decoder.bias, expected)


def test_tied_output_embedding_is_not_written_twice(tmp_path):
    source = make_checkpoint(tmp_path / "source", "xlm-roberta", "ForMaskedLM", positions=128)
    tensors = load_tensors(source)
    tensors["lm_head.decoder.weight"] = tensors["roberta.embeddings.word_embeddings.weight"].clone()
    tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].clone()
    save_tensors(source, tensors)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert not any("decoder" in name for name in load_tensors(long))
    model, _ = outputs(long, "LongformerForMaskedLM", torch.tensor([[9, 8, 7]]))
    words = model.longformer.embeddings.word_embeddings.weight
    assert model.lm_head.decoder.weight.data_ptr() == words.data_ptr()


def test_output_embedding_that_differs_under_a_config_that_says_tied_stays_its_own(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", "ForMaskedLM", tie_word_embeddings=False, positions=128)
    edit_config(source, tie_word_embeddings=True)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert compare(source, long, "LongformerForMaskedLM") < 1e-5
    assert transformers.AutoConfig.from_pretrained(long).tie_word_embeddings is False


def test_masked_lm_head_with_another_activation_is_named_and_left_out(tmp_path, capsys):
    source = make_checkpoint(tmp_path / "source", "bert", "ForMaskedLM", hidden_act="relu", positions=128)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "gelu" in capsys.readouterr().err
    assert transformers.AutoConfig.from_pretrained(long).architectures == ["LongformerModel"]
    # RoBERTa's head has gelu whatever the encoder uses, as Longformer's has
    source = make_checkpoint(tmp_path / "roberta", "roberta", "ForMaskedLM", hidden_act="relu", positions=128)
    long = convert(str(source), tmp_path / "roberta-long", **SMALL)
    assert compare(source, long, "LongformerForMaskedLM") < 1e-5


def test_next_sentence_head_is_named_and_left_out(tmp_path, capsys):
    source = make_checkpoint(tmp_path / "source", "bert", "ForPreTraining", positions=128)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "cls.seq_relationship.weight" in capsys.readouterr().err
    assert compare(source, long, "LongformerForMaskedLM") < 1e-5
    assert "longformer.pooler.dense.weight" in load_tensors(long)


def test_labels_survive(tmp_path):
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    source = make_checkpoint(tmp_path / "source", "camembert", "ForTokenClassification", id2label=labels, positions=128)
    edit_config(source, label2id={name: number for number, name in labels.items()})
    config = transformers.AutoConfig.from_pretrained(convert(str(source), tmp_path / "long", **SMALL))
    assert config.id2label == labels and config.label2id["I-PER"] == 2
