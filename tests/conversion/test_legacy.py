"""Old long checkpoints, built here as the notebooks of 2020 and 2021 saved them, come out as what they meant to be."""

import json

import pytest
import torch
import transformers

from conversion.convert import convert
from conversion.report import VerificationError
from conversion.verify import verify

from .checkpoints import edit_config, fill, load_tensors, make_checkpoint, save_tensors

LENGTH, WINDOW = 256, 32


def make_old_long(folder, head="ForMaskedLM", model_type="xlm-roberta", trained=True, **config):
    """A checkpoint of `LENGTH` positions under its short model's name, global projections beside the local ones."""
    make_checkpoint(folder, model_type, head, positions=LENGTH, **config)
    tensors = load_tensors(folder)
    generator = torch.Generator().manual_seed(7)
    for name in [name for name in tensors if any(f"self.{part}." in name for part in ("query", "key", "value"))]:
        local = tensors[name]
        own = torch.randn(local.shape, generator=generator) * 0.25 if trained else local.clone()
        tensors[name.replace(".weight", "_global.weight").replace(".bias", "_global.bias")] = own
    table = next(name for name in tensors if name.endswith("position_embeddings.weight"))
    tensors[table][:2] = 0
    save_tensors(folder, tensors)
    edit_config(folder, attention_window=[WINDOW] * 2)
    return folder


def run(model, ids):
    mask = torch.zeros_like(ids)
    mask[:, [0, 7, 120]] = 1
    attention = torch.ones_like(ids)
    attention[0, 200:] = 0
    with torch.no_grad():
        return model(ids, attention_mask=attention, global_attention_mask=mask).logits[attention.bool()]


def test_global_projections_are_kept_and_used(tmp_path, capsys):
    source = make_old_long(tmp_path / "old")
    long = convert(str(source), tmp_path / "long", max_pos=LENGTH)
    told = capsys.readouterr().err
    assert "old long checkpoint" in told and "position rows 0 to 1 are zeros" in told
    assert "never trained apart" not in told

    model, info = transformers.AutoModelForMaskedLM.from_pretrained(long, output_loading_info=True)
    assert type(model) is transformers.LongformerForMaskedLM
    assert model.config.attention_window == [WINDOW] * 2  # the source's own
    assert not info["missing_keys"] and not info["unexpected_keys"]

    # Put the old tensors by hand, name by name, into a new Longformer.
    old = load_tensors(source)
    expected = transformers.LongformerForMaskedLM(model.config)
    fill(expected, seed=5)
    for name, parameter in expected.named_parameters():
        parameter.data = old[name.replace("longformer.", "roberta.")].clone()
    ids = torch.randint(6, model.config.vocab_size, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    assert (run(model.eval(), ids) - run(expected.eval(), ids)).abs().max() < 1e-5

    # The Auto class makes a short model of the old file, with other outputs.
    short = transformers.AutoModelForMaskedLM.from_pretrained(source).eval()
    assert type(short) is transformers.XLMRobertaForMaskedLM
    with torch.no_grad():
        assert (short(ids).logits - model(ids).logits).abs().max() > 0.1


def test_global_projections_that_repeat_the_local_ones_are_told(tmp_path, capsys):
    long = convert(str(make_old_long(tmp_path / "old", trained=False)), tmp_path / "long", max_pos=LENGTH)
    assert "never trained apart" in capsys.readouterr().err
    assert any("never trained apart" in n for n in json.loads((long / "conversion_report.json").read_text())["notes"])


def test_reserved_rows_without_numbers_are_repaired(tmp_path, capsys):
    """`new_empty` left whatever the memory held; NaN there spreads from padding to every token."""
    source = make_old_long(tmp_path / "old", "ForQuestionAnswering", model_type="roberta")
    tensors = load_tensors(source)
    tensors["roberta.embeddings.position_embeddings.weight"][:2] = float("nan")
    save_tensors(source, tensors)
    long = convert(str(source), tmp_path / "long", max_pos=LENGTH)
    assert "zeros now" in capsys.readouterr().err
    assert not load_tensors(long)["longformer.embeddings.position_embeddings.weight"][:2].any()


def test_unknown_class_name_in_the_config(tmp_path):
    source = make_old_long(tmp_path / "old", "ForQuestionAnswering")
    edit_config(source, architectures=["XLMRobertaLongForQuestionAnswering"])
    long = convert(str(source), tmp_path / "a", max_pos=LENGTH)
    assert transformers.AutoConfig.from_pretrained(long).architectures == ["LongformerForQuestionAnswering"]
    edit_config(source, architectures=["LongModel"])
    again = convert(str(source), tmp_path / "b", max_pos=LENGTH)
    assert transformers.AutoConfig.from_pretrained(again).architectures == ["LongformerForQuestionAnswering"]


def test_encoder_alone(tmp_path):
    source = make_old_long(tmp_path / "old", "Model", model_type="roberta")
    long = convert(str(source), tmp_path / "long", max_pos=LENGTH)
    assert type(transformers.AutoModel.from_pretrained(long)) is transformers.LongformerModel


def test_made_longer_still(tmp_path):
    long = convert(str(make_old_long(tmp_path / "old")), tmp_path / "long", max_pos=2 * LENGTH)
    table = load_tensors(long)["longformer.embeddings.position_embeddings.weight"]
    assert table.shape[0] == 2 * LENGTH + 2
    assert torch.equal(table[2 : LENGTH + 2], table[LENGTH + 2 :])


def test_a_window_of_ones_own(tmp_path):
    long = convert(str(make_old_long(tmp_path / "old")), tmp_path / "long", max_pos=LENGTH, attention_window=64)
    assert transformers.AutoConfig.from_pretrained(long).attention_window == [64, 64]


@pytest.mark.parametrize("part", ["query_global.weight", "value_global.bias", "key.weight"])
def test_the_proof_sees_a_swapped_global_projection(tmp_path, part):
    source = make_old_long(tmp_path / "old")
    long = convert(str(source), tmp_path / "long", max_pos=LENGTH, verify=False)
    tensors = load_tensors(long)
    tensors[f"longformer.encoder.layer.1.attention.self.{part}"] *= 0.5
    save_tensors(long, tensors)
    with pytest.raises(VerificationError, match="hidden states"):
        verify(source, long)


def test_lost_global_projection(tmp_path):
    source = make_old_long(tmp_path / "old")
    tensors = load_tensors(source)
    del tensors["roberta.encoder.layer.1.attention.self.key_global.bias"]
    save_tensors(source, tensors)
    with pytest.raises(ValueError, match=r"lacks .*layer\.1\.attention\.self\.key_global\.bias"):
        convert(str(source), tmp_path / "long", max_pos=LENGTH)
    assert not (tmp_path / "long").exists()
