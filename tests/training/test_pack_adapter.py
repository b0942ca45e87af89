"""The packed adapter answers as the trained one, from half the bytes, with its scores beside it."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from foundation.cli import UserError
from training.pack_adapter import pack
from training.qa.model import add_lora, load_qa_model
from training.scoring.record import read_scores

from . import qa_tiny
from .test_qa_model import first_batch

XQUAD = {
    "run": {"dataset": "xquad", "model_name_or_path": "/home/me/adapter"},
    "languages": {"en": {"questions": 9, "exact_match": 50.0, "f1": 60.126}},
    "average": {"exact_match": 50.0, "f1": 60.126},
}


def test_packed_adapter_answers_alike_in_half_the_bytes(tmp_path):
    base = qa_tiny.checkpoint(tmp_path / "base")
    (base / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: sv\n---\n")
    model, tokenizer = load_qa_model(str(base))
    arguments = SimpleNamespace(model_name_or_path=str(base), revision=None, lora_r=2, lora_alpha=4, lora_dropout=0.0)
    wrapped = add_lora(model, arguments)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    wrapped.save_pretrained(tmp_path / "adapter")
    packed = pack(tmp_path / "adapter", XQUAD, "the command", tmp_path / "packed")
    sizes = [(folder / "adapter_model.safetensors").stat().st_size for folder in (tmp_path / "adapter", packed)]
    assert sizes[1] < 0.8 * sizes[0]
    batch = first_batch(model, tokenizer)
    before, after = (load_qa_model(str(folder))[0](**batch) for folder in (tmp_path / "adapter", packed))
    assert torch.allclose(before.start_logits, after.start_logits, atol=5e-3)
    kept = read_scores(packed / "scores.json", "--xquad")
    assert kept == {**XQUAD, "run": {"dataset": "xquad"}, "average": {"languages": 1, **XQUAD["average"]}}
    other = {**XQUAD, "run": {"dataset": "squad"}}
    with pytest.raises(UserError, match="--xquad is of 'squad'"):
        pack(tmp_path / "adapter", other, "", tmp_path / "other")
    card = (packed / "README.md").read_text()
    assert "the command" in card and "| en | 50.0 | 60.1 |" in card
    # Licence and language of its own base.
    assert "license: apache-2.0\n" in card and "language: sv\n" in card and "e5" not in card
    with pytest.raises(UserError, match="exists and is not empty"):
        pack(tmp_path / "adapter", XQUAD, "", packed)
    (packed / "no_answer.json").write_text('{"threshold": 1.5}')
    # The measured threshold stays, since the weights are the same.
    pack(tmp_path / "adapter", XQUAD, "another command", packed, overwrite=True)
    assert "another command" in (packed / "README.md").read_text()
    assert json.loads((packed / "no_answer.json").read_text()) == {"threshold": 1.5}
    assert "reads a long document twice" not in card
    (tmp_path / "adapter" / "reading.json").write_text('{"second_look": 6}')
    with pytest.raises(UserError, match=r"measured with another reading\.json"):
        pack(tmp_path / "adapter", XQUAD, "", packed, overwrite=True)
    twice = pack(tmp_path / "adapter", XQUAD, "", tmp_path / "twice")
    assert json.loads((twice / "reading.json").read_text()) == {"second_look": 6}
    assert "its 6 likeliest places" in (twice / "README.md").read_text()
    (tmp_path / "adapter" / "reading.json").unlink()
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in weights.items()}, tmp_path / "adapter" / "adapter_model.safetensors"
    )
    with pytest.raises(UserError, match=r"holds no_answer\.json, which was measured on other weights"):
        pack(tmp_path / "adapter", XQUAD, "", packed, overwrite=True)
    (packed / "no_answer.json").rename(packed / "notes.json")
    with pytest.raises(UserError, match=r"did not write \(notes\.json\)"):
        pack(tmp_path / "adapter", XQUAD, "", packed, overwrite=True)
    with pytest.raises(UserError, match="holds the source"):
        pack(tmp_path / "adapter", XQUAD, "", tmp_path / "adapter", overwrite=True)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        pack(tmp_path, XQUAD, "", tmp_path / "packed")
