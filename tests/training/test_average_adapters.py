"""The average of two adapters is their weighted mean, loads, and is refused where it would mean nothing."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from foundation.cli import UserError
from training.average_adapters import average
from training.qa.model import add_lora, load_qa_model

from . import qa_tiny
from .test_qa_model import first_batch


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Two adapters of one descent, and the base's first batch."""
    folder = tmp_path_factory.mktemp("adapters")
    base = qa_tiny.checkpoint(folder / "base")
    model, tokenizer = load_qa_model(str(base))
    batch = first_batch(model, tokenizer)
    lora = {"lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.0}
    wrapped = add_lora(model, SimpleNamespace(model_name_or_path=str(base), revision=None, **lora))
    torch.manual_seed(0)
    for name in ("first", "second"):
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        wrapped.save_pretrained(folder / name)
    return folder / "first", folder / "second", batch


def test_every_tensor_is_the_weighted_mean_and_the_folder_loads(adapters, tmp_path):
    first, second, batch = adapters
    mean = average([first, second], tmp_path / "mean", [0.25, 0.75])
    ours, one, two = (load_file(folder / "adapter_model.safetensors") for folder in (mean, first, second))
    assert ours.keys() == one.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, one[name].lerp(two[name], 0.75), rtol=1e-5, atol=1e-6)
    logits = [load_qa_model(str(folder))[0](**batch).start_logits for folder in (first, mean, second)]
    assert not torch.allclose(logits[0], logits[1]) and not torch.allclose(logits[1], logits[2])
    assert (logits[1] - logits[2]).norm() < (logits[0] - logits[2]).norm()


def test_a_part_is_taken_from_the_second_and_the_rest_is_the_first_s(adapters, tmp_path):
    first, second, _ = adapters
    graft = average([first, second], tmp_path / "graft", [0, 1], only="_global")
    ours, one, two = (load_file(folder / "adapter_model.safetensors") for folder in (graft, first, second))
    parts = {name: "_global" in name for name in ours}
    assert 0 < sum(parts.values()) < len(parts)
    assert all(torch.equal(ours[name], (two if part else one)[name]) for name, part in parts.items())
    half = load_file(average([first, second], tmp_path / "half", only="_global") / "adapter_model.safetensors")
    for name, part in parts.items():
        torch.testing.assert_close(half[name], one[name].lerp(two[name], 0.5 if part else 0))
    with pytest.raises(UserError, match="--only 'globl' is in the name of no tensor"):
        average([first, second], tmp_path / "none", only="globl")


def test_equal_shares_of_one_and_the_same_adapter_are_that_adapter(adapters, tmp_path):
    first, *_ = adapters
    mean = average([first, first, first], tmp_path / "mean")
    one, ours = (load_file(folder / "adapter_model.safetensors") for folder in (first, mean))
    for name in one:
        torch.testing.assert_close(ours[name], one[name])


def test_a_trained_adapter_is_no_earlier_average(adapters, tmp_path):
    first, second, _ = adapters
    mean = average([first, second], tmp_path / "mean")
    average([first, second], mean, [0.25, 0.75], overwrite=True)
    (mean / "all_results.json").write_text("{}")  # a training leaves this file
    with pytest.raises(UserError, match=r"holds what this command did not write \(all_results\.json\)"):
        average([first, second], mean, overwrite=True)
    assert (mean / "all_results.json").is_file()


def test_what_would_mean_nothing_is_refused_and_writes_nothing(adapters, tmp_path):
    first, second, _ = adapters
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((second / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))
    (other / "adapter_model.safetensors").write_bytes((second / "adapter_model.safetensors").read_bytes())
    for folders, weights, sentence in (
        ([first], None, "two or more"),
        ([first, second], [0.5], "1 shares for 2 adapters"),
        ([first, second], [0.5, 0.6], "sum to 1.1"),
        ([first, tmp_path], None, r"no adapter_model\.safetensors"),
        ([first, other], None, "has r 3 and .* 2"),
    ):
        with pytest.raises(UserError, match=sentence):
            average(folders, tmp_path / "mean", weights)
    with pytest.raises(UserError, match="holds the source"):
        average([first, second], first.parent, overwrite=True)
    assert (first / "adapter_config.json").is_file() and (second / "adapter_config.json").is_file()
    assert not (tmp_path / "mean").exists()
