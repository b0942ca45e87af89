"""The ONNX graph computes what the native class computes, at every batch, length and number of global tokens."""

import json
import sys

import pytest
import torch
import transformers

from conversion import export_onnx as command
from conversion.export_onnx import OUTPUTS, export_onnx, make_inputs
from foundation.cli import UserError, run

from .checkpoints import fill

onnxruntime = pytest.importorskip("onnxruntime")


def make_longformer(folder, head="Model", windows=(32, 16), types=2, vocab_size=120):
    config = transformers.LongformerConfig(
        vocab_size=vocab_size,
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


@pytest.mark.parametrize(
    ("head", "types"),
    [
        ("ForQuestionAnswering", 2),
        *(
            pytest.param(head, 1, marks=pytest.mark.slow)
            for head in ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")
        ),
    ],
)
def test_exported_graph_takes_any_batch_length_and_mask(tmp_path, head, types, capsys):
    model = make_longformer(tmp_path / "long", head, types=types)
    twice = head == "ForQuestionAnswering"
    if twice:
        model.config.second_look = 6
        model.config.save_pretrained(tmp_path / "long")
    rows = export_onnx(str(tmp_path / "long"), tmp_path / "onnx", lengths=[64, 256, 512])
    assert ("trained to look at 6 places again" in capsys.readouterr().err) == twice
    assert len(rows) == 6 and {row["global tokens"] > 0 for row in rows} == {True, False}
    assert max(row["difference"] for row in rows) < 2e-5
    files = {path.name for path in (tmp_path / "onnx").iterdir()}
    assert files == {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "onnx_report.json"}
    assert json.loads((tmp_path / "onnx" / "onnx_report.json").read_text())["rows"] == rows

    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    assert tuple(node.name for node in session.get_outputs()) == OUTPUTS[f"Longformer{head}"]
    for batch, length, every, two in ((1, 1, 0, 0), (1, 7, 3, 0), (4, 33, 1, 0), (2, 500, 100, 0), (3, 70, 9, 4)):
        inputs = make_inputs(model.config, length, every, batch)
        if two:  # rows differ in global tokens; an attention mask of 2 is another way to ask for them
            inputs["attention_mask"][1:, ::two] = 2
            inputs["global_attention_mask"][1] = 0
        wanted = {node.name for node in session.get_inputs()}
        assert ("token_type_ids" in wanted) == (types > 1)
        found = session.run(None, {name: inputs[name].numpy() for name in wanted})
        with torch.no_grad():
            expected = model(**inputs)
        real = inputs["attention_mask"].bool()
        for name, array in zip(OUTPUTS[f"Longformer{head}"], found, strict=True):
            a, b = torch.from_numpy(array), expected[name]
            a, b = (a[real], b[real]) if b.shape[:2] == real.shape else (a, b)
            assert (a - b).abs().max() < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_graphs_stay_near_and_are_smaller(tmp_path, precision):
    make_longformer(tmp_path / "long", "ForQuestionAnswering", vocab_size=200_000)
    export_onnx(str(tmp_path / "long"), tmp_path / "onnx", lengths=[64, 512], precision=precision)
    report = json.loads((tmp_path / "onnx" / "onnx_report.json").read_text())
    assert report["precision"] == precision
    assert max(row["difference"] for row in report["rows"]) > 1e-5
    whole = (tmp_path / "long" / "model.safetensors").stat().st_size
    assert (tmp_path / "onnx" / "model.onnx").stat().st_size < {"float16": 0.6, "int8": 0.4}[precision] * whole


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    from conversion.attention.modules import LongformerSelfAttention

    rows = LongformerSelfAttention._global_rows
    monkeypatch.setattr(LongformerSelfAttention, "_global_rows", lambda *arguments: rows(*arguments) * 1.01)
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
