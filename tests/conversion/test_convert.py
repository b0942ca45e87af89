"""A converted model computes what its source computes, for every family, head and layout."""

import pytest
import torch
import transformers

from conversion.convert import convert

from .checkpoints import FAMILIES, TEXTS, make_checkpoint

LENGTHS = (5, 17, 64, 127, 250)


def batch(model, lengths=LENGTHS, seed=0):
    """Random ids in one padded batch; pad ids do not occur inside."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), max(lengths)), config.pad_token_id)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(config.pad_token_id + 4, config.vocab_size, (length,), generator=generator)
    return {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).long()}


def difference(source, converted, inputs, **more):
    """Largest difference of any layer's hidden states over the tokens that are not padding."""
    source.eval(), converted.eval()
    with torch.no_grad():
        a = source(**inputs, output_hidden_states=True).hidden_states
        b = converted(**inputs, output_hidden_states=True, **more).hidden_states
    real = inputs["attention_mask"].bool()
    assert len(a) == len(b) == source.config.num_hidden_layers + 1
    return max((x[real] - y[real]).abs().max().item() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_hidden_states_equal_the_source(tmp_path, model_type):
    source = make_checkpoint(tmp_path / "source", model_type)
    long = convert(str(source), tmp_path / "long", max_pos=1024)
    before = transformers.AutoModel.from_pretrained(source, dtype=torch.float32)
    after = transformers.AutoModel.from_pretrained(long, dtype=torch.float32)
    assert type(after) is transformers.LongformerModel
    inputs = batch(before)
    assert difference(before, after, inputs) < 1e-5
    every = {"global_attention_mask": inputs["attention_mask"]}
    assert difference(before, after, inputs, **every) < 1e-5
    tokenizer = transformers.AutoTokenizer.from_pretrained(long)
    assert tokenizer.model_max_length == 1024
    original = transformers.AutoTokenizer.from_pretrained(source)
    assert type(tokenizer) is type(original)
    assert tokenizer(TEXTS)["input_ids"] == original(TEXTS)["input_ids"]
