"""The ONNX graph computes what the native class computes, at every batch, length and number of global tokens."""

import json
import sys

import pytest
import torch
import transformers

from conversion import export_onnx as command
from conversion.export_onnx import export_onnx, make_inputs
from conversion.onnx_attention import ExportableEncoder
from foundation.cli import UserError, run

from .checkpoints import fill

onnxruntime = pytest.importorskip("onnxruntime")


def make_longformer(folder, head="Model", windows=(32, 16), types=2):
    config = transformers.LongformerConfig(
        vocab_size=120,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        attention_window=list(windows),
        max_position_embeddings=514,
        pad_token_id=1,
        type_vocab_size=types,
        architectures=[f"Longformer{head}"],
    )
    model = getattr(transformers, f"Longformer{head}")(config).eval()
    fill(model)
    model.save_pretrained(folder)
    from .checkpoints import make_tokenizer

    make_tokenizer("roberta").save_pretrained(folder)
    return model


@pytest.mark.parametrize("length", [1, 15, 16, 33, 128])
@pytest.mark.parametrize("every", [0, 1, 5])
def test_exportable_attention_equals_native(tmp_path, length, every):
    model = make_longformer(tmp_path)
    inputs = make_inputs(model.config, length, every, batch=3)
    inputs["global_attention_mask"][1] = 0  # rows with different numbers of global tokens
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        found = ExportableEncoder(model)(**inputs)
    real = inputs["attention_mask"].bool()
    assert found.shape == expected.shape
    assert (found - expected)[real].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("head", "types"), [("ForQuestionAnswering", 2), pytest.param("Model", 1, marks=pytest.mark.slow)]
)
def test_exported_graph_takes_any_batch_and_length(tmp_path, head, types):
    model = make_longformer(tmp_path / "long", head, types=types)
    rows = export_onnx(str(tmp_path / "long"), tmp_path / "onnx", lengths=[64, 256, 512])
    assert len(rows) == 6 and {row["global tokens"] > 0 for row in rows} == {True, False}
    assert max(row["difference"] for row in rows) < 1e-4
    files = {path.name for path in (tmp_path / "onnx").iterdir()}
    assert {"model.onnx", "config.json", "tokenizer.json", "onnx_report.json"} <= files
    assert json.loads((tmp_path / "onnx" / "onnx_report.json").read_text())["rows"] == rows

    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    for batch, length, every in ((1, 1, 0), (1, 7, 3), (4, 33, 1), (2, 500, 100)):
        inputs = make_inputs(model.config, length, every, batch)
        wanted = {node.name for node in session.get_inputs()}
        assert ("token_type_ids" in wanted) == (types > 1)
        found = session.run(None, {name: inputs[name].numpy() for name in wanted})
        with torch.no_grad():
            expected = model(**inputs)
        real = inputs["attention_mask"].bool()
        names = ["start_logits", "end_logits"] if head == "ForQuestionAnswering" else ["last_hidden_state"]
        for name, array in zip(names, found, strict=True):
            assert (torch.from_numpy(array) - expected[name])[real].abs().max() < 1e-4


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    from conversion import onnx_attention

    rows = onnx_attention.global_rows
    monkeypatch.setattr(onnx_attention, "global_rows", lambda *arguments: rows(*arguments) * 1.01)
    make_longformer(tmp_path / "long")
    with pytest.raises(UserError, match="differs from PyTorch"):
        export_onnx(str(tmp_path / "long"), tmp_path / "onnx", lengths=[64])
    assert [path.name for path in tmp_path.iterdir()] == ["long"]


@pytest.mark.parametrize("given", ["short", "missing", "length", "itself"])
def test_refusals(tmp_path, monkeypatch, capsys, given):
    make_longformer(tmp_path / "long")
    flags = []
    if given == "short":
        path = tmp_path / "long" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "roberta"}))
    if given == "length":
        flags = ["--lengths", "1024"]
    model = tmp_path / ("nowhere" if given == "missing" else "long")
    target = tmp_path / ("long" if given == "itself" else "onnx")
    if given == "itself":
        flags = ["--overwrite_output_dir"]
    monkeypatch.setattr(sys, "argv", ["export_onnx", str(model), "--output", str(target), *flags])
    with pytest.raises(SystemExit) as ended:
        run(command.main)
    assert ended.value.code == 2
    sentence = {
        "short": "is a roberta, not a longformer: convert it first",
        "missing": "neither a model's folder nor a Hub id",
        "length": "--lengths 1024: the model reads 1 to 512 tokens",
        "itself": "holds the source",
    }[given]
    assert sentence in capsys.readouterr().err
    assert (tmp_path / "long" / "model.safetensors").is_file()
    assert not (tmp_path / "onnx").exists()
