"""Bad input: one sentence that names the argument and the mend, exit status 2, and nothing written."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

from conversion import convert as command
from conversion.convert import convert
from foundation.cli import UserError, run

from .checkpoints import edit_config, load_tensors, make_checkpoint, save_tensors


@pytest.fixture
def source(tmp_path):
    return make_checkpoint(tmp_path / "source", "roberta", positions=128)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the command in this process; gives its one sentence, after checking that it wrote nothing."""

    def call(source, *flags):
        before = sorted(tmp_path.rglob("*"))
        arguments = ["convert", "--model_name_or_path", str(source), "--output_dir", str(tmp_path / "long"), *flags]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            run(command.main)
        assert ended.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("error: ")
        assert not any("Traceback" in line for line in lines)
        assert sorted(tmp_path.rglob("*")) == before
        return lines[-1]

    return call


def test_max_pos(refused, source):
    window = ("--attention_window", "64")
    assert "--max_pos 1000 is not a multiple of the attention window 64: the next is 1024" in refused(
        source, "--max_pos", "1000", *window
    )
    assert "--max_pos 64 is smaller than the source, which reads 128" in refused(source, "--max_pos", "64", *window)
    assert "--max_pos 131072 is more than 65536" in refused(source, "--max_pos", "131072", *window)
    assert "--max_pos 0 " in refused(source, "--max_pos", "0", *window)


@pytest.mark.parametrize("where", ["source", "."])
def test_an_output_that_would_replace_the_source(source, tmp_path, where):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds the source .*, which would be lost"):
        convert(str(source), tmp_path / where, max_pos=256, attention_window=64, overwrite=True)
    assert (tmp_path / "mine.txt").is_file() and (source / "model.safetensors").is_file()


def test_a_config_with_other_positions_than_the_weights(refused, source):
    edit_config(source, max_position_embeddings=100)
    assert "says 100 positions, its weights have 130" in refused(source, "--max_pos", "256", "--attention_window", "64")


def test_an_old_long_bert(refused, tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128)
    tensors = load_tensors(source)
    name = next(name for name in tensors if "self.query.weight" in name)
    save_tensors(source, {**tensors, name.replace("query", "query_global"): tensors[name].clone()})
    said = refused(source, "--max_pos", "256", "--attention_window", "64")
    assert "old long checkpoint of type 'bert' is not known" in said


def test_private_without_a_push(refused, source):
    assert "--private is of a repository that is pushed to" in refused(source, "--private")


@pytest.mark.parametrize("tile_from", ["-1", "128"])
def test_tile_from(refused, source, tile_from):
    said = refused(source, "--max_pos", "256", "--attention_window", "64", "--tile_from", tile_from)
    assert f"--tile_from {tile_from} is not one of the source's 128 positions: give 0 to 127" in said


def test_attention_window(refused, source):
    assert "--attention_window 63 " in refused(source, "--attention_window", "63")
    assert "--attention_window -2 " in refused(source, "--attention_window", "-2")
    assert "3 numbers, and the model 2 layers" in refused(source, "--attention_window", "64", "64", "64")
    assert "each divides the largest (64)" in refused(source, "--attention_window", "64", "48")


def test_missing_path(refused, tmp_path):
    assert "is not a folder: check the path" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no config.json" in refused(tmp_path / "empty")


def test_unknown_model_type(refused, source):
    edit_config(source, model_type="gpt2")
    assert "has the model type 'gpt2': convert one of roberta, xlm-roberta, camembert, bert" in refused(source)


def test_positions_that_longformer_lacks(refused, source):
    edit_config(source, position_embedding_type="relative_key")
    assert "position_embedding_type 'relative_key'" in refused(source)


def test_quantised_weights(refused, source):
    edit_config(source, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "is quantised (quantization_config in its config.json)" in refused(source)


def test_a_tokenizer_whose_library_is_absent(refused, source, monkeypatch):
    from conversion import source as module

    (source / "tokenizer.json").unlink()
    (source / "sentencepiece.bpe.model").write_bytes(b"x")
    edit_tokenizer = json.loads((source / "tokenizer_config.json").read_text())
    edit_tokenizer["tokenizer_class"] = "XLMRobertaTokenizer"
    (source / "tokenizer_config.json").write_text(json.dumps(edit_tokenizer))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    said = refused(source, "--max_pos", "256", "--attention_window", "64")
    assert "sentencepiece.bpe.model is read by sentencepiece: run `pip install sentencepiece protobuf`" in said


def test_decoder(refused, source):
    edit_config(source, is_decoder=True)
    assert "is a decoder" in refused(source)


def test_output_folder_that_is_not_empty(refused, source, tmp_path):
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "mine.txt").write_text("keep")
    assert "exists and is not empty" in refused(source)
    assert (tmp_path / "long" / "mine.txt").read_text() == "keep"


def test_overwriting_replaces_a_conversion_and_nothing_else(source, tmp_path):
    flags = {"max_pos": 256, "attention_window": 64, "verify": False}
    long = convert(str(source), tmp_path / "long", **flags)
    (long / "README.md").write_text((long / "README.md").read_text() + "\nBy hand.\n")
    (long / "vocab.txt").write_text("of an older tokenizer")
    convert(str(source), long, overwrite=True, **{**flags, "max_pos": 512})
    assert not (long / "vocab.txt").exists() and "By hand." in (long / "README.md").read_text()
    (long / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds what this command did not write \(notes\.txt\)"):
        convert(str(source), long, overwrite=True, **flags)
    assert (long / "notes.txt").read_text() == "mine"
    shutil.copytree(source, tmp_path / "another")
    with pytest.raises(UserError, match=r"it has no conversion_report\.json"):
        convert(str(source), tmp_path / "another", overwrite=True, **flags)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "long", "source"]


def test_revision_of_a_local_folder(refused, source):
    assert "--revision 'main' is for Hub ids" in refused(source, "--revision", "main")


def test_truncated_safetensors(refused, source):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors' is truncated or is not a safetensors file: download it again" in refused(source)
    path.write_bytes(path.read_bytes()[:20])
    assert "is truncated" in refused(source)
    path.write_bytes(b"")
    assert "is truncated" in refused(source)
    path.write_bytes((8).to_bytes(8, "little") + b"not json")
    assert "its header cannot be read" in refused(source)


def test_missing_shard(refused, source):
    (source / "model.safetensors").unlink()
    index = {"weight_map": {"embeddings.word_embeddings.weight": "model-00001-of-00002.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names the shard 'model-00001-of-00002.safetensors', which is not beside it" in refused(source)
    index["weight_map"] = {"embeddings.word_embeddings.weight": "../../etc/passwd"}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names the shard" in refused(source)


def test_wrong_shape(refused, source):
    tensors = load_tensors(source)
    tensors["encoder.layer.1.output.dense.weight"] = torch.randn(32, 47)
    save_tensors(source, tensors)
    line = refused(source, "--max_pos", "256", "--attention_window", "64")
    assert "encoder.layer.1.output.dense.weight is [32, 47], [32, 48] expected" in line


def test_unknown_tensors_are_listed(refused, source):
    tensors = load_tensors(source)
    tensors["encoder.layer.1.adapter.weight"] = torch.randn(3)
    tensors["encoder.layer.2.output.dense.bias"] = torch.randn(32)  # config.json has one layer less
    save_tensors(source, tensors)
    line = refused(source)
    assert "not in the table of 'roberta'" in line
    assert "encoder.layer.1.adapter.weight, encoder.layer.2.output.dense.bias" in line


def test_missing_tensors_are_listed(refused, source):
    tensors = load_tensors(source)
    del tensors["encoder.layer.1.attention.self.key.bias"]
    save_tensors(source, tensors)
    assert "lacks tensors of a roberta encoder: encoder.layer.1.attention.self.key.bias" in refused(source)


def test_no_weights(refused, source):
    (source / "model.safetensors").unlink()
    (source / "tf_model.h5").write_bytes(b"x")
    assert "holds no weights" in refused(source)


def test_no_tokenizer(refused, source):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).unlink()
    assert "tokenizer" in refused(source, "--max_pos", "256", "--attention_window", "64")


def test_broken_config(refused, source):
    (source / "config.json").write_text("{")
    assert "config.json' is not JSON" in refused(source)
    (source / "config.json").write_text("[]")
    assert "holds a list" in refused(source)


class Payload:
    def __reduce__(self):
        return (os.system, ("touch /tmp/conversion-payload-ran",))


@pytest.mark.parametrize("content", ["code", "truncated", "list"])
def test_bin_files_run_no_code(refused, source, tmp_path, content):
    tensors = load_tensors(source)
    (source / "model.safetensors").unlink()
    path = source / "pytorch_model.bin"
    if content == "code":
        torch.save(tensors | {"x": Payload()}, path)
    elif content == "list":
        torch.save(list(tensors.values()), path)
    else:
        torch.save(tensors, path)
        path.write_bytes(path.read_bytes()[:1000])
    assert "pytorch_model.bin'" in refused(source)
    assert not os.path.exists("/tmp/conversion-payload-ran")


def test_bare_pickle_runs_no_code(refused, source):
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Payload()}))
    assert "its code is not run" in refused(source)
    assert not os.path.exists("/tmp/conversion-payload-ran")


def test_read_only_target(source, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        convert(str(source), tmp_path / "closed" / "long", max_pos=256, attention_window=64)


def test_full_disk(source, tmp_path, monkeypatch):
    """A write that fails half-way leaves no folder, and the command says so in one sentence."""
    from conversion import checkpoint
    from foundation.cli import explain

    write = checkpoint._write_all
    calls = []

    def fill_up(file, piece):
        calls.append(1)
        if len(calls) > 10:
            raise OSError(28, "No space left on device", "model.safetensors")
        return write(file, piece)

    monkeypatch.setattr(checkpoint, "_write_all", fill_up)
    with pytest.raises(OSError) as caught:
        convert(str(source), tmp_path / "long", max_pos=256, attention_window=64)
    assert "the disk is full" in explain(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_unknown_dtype(source, tmp_path):
    with pytest.raises(UserError, match=r"--dtype 'int8' is not one of float32, float16, bfloat16"):
        convert(str(source), tmp_path / "long", dtype="int8")


def test_help_is_quick_and_has_an_example():
    for module in ("conversion.convert", "conversion.verify", "conversion.embedded"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", module, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0 and "example: python -m" in " ".join(done.stdout.split())
        assert "| torch\n" not in done.stderr and "| transformers\n" not in done.stderr
