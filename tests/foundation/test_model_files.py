"""What of a folder is a model: exact names, so that nothing else is ever pushed."""

import pytest

from foundation.files import matches
from foundation.model_files import CONVERSION, REPLACED, RUN, stage_model

STRAY = ("service-account.json", "notes.txt", "photo.png", ".env", "data.json", "training_args.bin", "optimizer.pt",
         "checkpoint-5/model.safetensors", "predictions.json", "xquad/scores.json", "my.safetensors")  # fmt: skip


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (
            RUN,
            {"README.md", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "vocab.txt", "bpe.codes",
             "sentencepiece.bpe.model", "pretrain_losses.png", "no_answer.json", "adapter_config.json"},
        ),
        (CONVERSION, {"README.md", "model.safetensors", "conversion_report.json", "1_Pooling/config.json",
                      "2_Dense/dense_config.json"}),
    ],
)  # fmt: skip
def test_a_push_takes_what_our_commands_write_and_nothing_else(tmp_path, names, taken):
    model, staged = tmp_path / "model", tmp_path / "staged"
    for name in (*taken, *STRAY):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    stage_model(model, staged, names)
    found = {path.relative_to(staged).as_posix(): path.read_text() for path in staged.rglob("*") if path.is_file()}
    assert found == {name: name for name in taken}


def test_what_others_save_makes_way_and_what_an_owner_writes_does_not():
    gone = (
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "tf_model.h5",
        "1_Pooling/config.json",
        "nbest.json",
    )
    assert all(matches(name, REPLACED) for name in gone)
    kept = ("LICENSE", "picture.png", "docs/README.md", "onnx/model.onnx", "handler.py", ".gitattributes", "my.json")
    assert not any(matches(name, REPLACED) for name in kept)


@pytest.mark.parametrize(
    ("path", "pattern", "match"),
    [
        ("a.json", "*.json", True), ("x/a.json", "*.json", False), ("x/a.json", "x/*", True), ("x/y/a", "x/*", False),
        ("x/y/a", "x/**", True), ("x", "x/**", False), ("A.json", "a.json", False), ("a", "b", False),
    ],
)  # fmt: skip
def test_patterns_are_of_one_folder(path, pattern, match):
    assert matches(path, [pattern]) is match
