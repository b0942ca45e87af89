"""What a run finds in its folder: another run's leavings, and what it must not take from them."""

import json
import os
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import transformers

from foundation.cli import UserError
from training import finetune
from training.qa.model import add_lora, load_qa_model
from training.runs import checkpoints as resume
from training.runs.origin import beside_model

from . import qa_tiny
from .test_finetune import flags


def test_a_run_over_another_leaves_nothing_that_is_taken_for_its_own(tmp_path, monkeypatch):
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    (output_dir / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "gone")}))
    others = ("adapter_model.safetensors", "eval_results.json", "nbest.json", "no_answer.json", "vocab.txt")
    for name in (*others, "notes.txt", "mine.json", "checkpoint-5/run.json", "xquad/scores.json"):
        (output_dir / name).parent.mkdir(exist_ok=True)
        (output_dir / name).write_text("{}")
    model, data = qa_tiny.checkpoint(tmp_path / "model", "bert"), qa_tiny.squad_file(tmp_path / "squad.json", 1)
    more = {"do_train": True, "max_steps": 1, "save_strategy": "no", "use_cpu": True, "overwrite_output_dir": True}
    monkeypatch.setattr(sys, "argv", ["finetune.py", *flags(model, data, output_dir, **more)])
    with monkeypatch.context() as broken, pytest.raises(MemoryError):
        broken.setattr("training.finetuning.trainer.QATrainer.training_step", Mock(side_effect=MemoryError))
        finetune.main()
    assert all((output_dir / name).is_file() for name in others)  # they stay until another model is saved
    finetune.main()
    assert load_qa_model(str(output_dir))[0].config.model_type == "bert"
    assert beside_model(str(output_dir), "eval_results.json") is None
    assert {path.name for path in output_dir.iterdir()} == {
        "README.md", "all_results.json", "config.json", "mine.json", "model.safetensors", "notes.txt",
        "tokenizer.json", "tokenizer_config.json", "train_results.json", "trainer_state.json", "training_args.bin",
        "xquad",
    }  # fmt: skip


@pytest.mark.parametrize(("start", "kept"), [("", False), ("checkpoint-5", False), ("converted", True)])
def test_a_run_never_deletes_what_it_starts_from(tmp_path, start, kept):
    for name in ("config.json", "checkpoint-5/config.json", "converted/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    args = transformers.TrainingArguments(output_dir=str(tmp_path), do_train=True, use_cpu=True)
    run = {"model_name_or_path": str(tmp_path / start)}
    if not kept:
        with pytest.raises(UserError, match=r"holds --model_name_or_path .* which would be lost: choose another"):
            resume.prepare_output_dir(args, run, overwrite=True)
        args.do_train = False  # an evaluation deletes nothing
    assert resume.prepare_output_dir(args, run, overwrite=True) is None


def test_a_run_never_deletes_the_base_of_its_adapter(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "config.json").write_text("{}")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    args = transformers.TrainingArguments(output_dir=str(base), do_train=True, use_cpu=True)
    with pytest.raises(UserError, match="or its base, which would be lost"):
        resume.prepare_output_dir(args, {"model_name_or_path": str(adapter)}, overwrite=True)


def test_an_edited_text_is_another_run(tmp_path):
    text, checkpoint = tmp_path / "text.raw", tmp_path / "out" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    text.write_text("one")
    args = transformers.TrainingArguments(output_dir=str(tmp_path / "out"), resume_from_checkpoint="last", use_cpu=True)
    run = resume.identity(args, train_file_path=str(text), val_file_path=None)
    (checkpoint / resume.MARK).write_text(json.dumps(run))
    assert resume.prepare_output_dir(args, run, overwrite=False) == str(checkpoint)
    os.utime(text, ns=(1, 1))  # a copy has another time of change and is the same text
    assert run == resume.identity(args, train_file_path=str(text), val_file_path=None)
    text.write_text("another")
    edited = resume.identity(args, train_file_path=str(text), val_file_path=None)
    with pytest.raises(UserError, match=r"belongs to another run \(data was .*text\.raw', '[0-9a-f]{64}'\]"):
        resume.prepare_output_dir(args, edited, overwrite=False)
    del run["data"]
    (checkpoint / resume.MARK).write_text(json.dumps(run))  # as older releases wrote it
    assert resume.prepare_output_dir(args, edited, overwrite=False) == str(checkpoint)


def test_peft_s_card_is_not_taken_for_words_of_the_owner_s(tmp_path):
    """It writes one at every save, which would stand below ours as if somebody had written it."""
    base = qa_tiny.checkpoint(tmp_path / "base")
    lora = SimpleNamespace(model_name_or_path=str(base), revision=None, lora_r=2, lora_alpha=4, lora_dropout=0.0)
    model = add_lora(load_qa_model(str(base))[0], lora)
    args = SimpleNamespace(output_dir=tmp_path / "out", should_save=True)
    resume.save_model(
        SimpleNamespace(args=args, model=model, save_model=lambda: model.save_pretrained(args.output_dir))
    )
    assert {path.name for path in args.output_dir.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


def test_an_older_sharded_model_makes_way(tmp_path):
    """Saving deletes its shards by itself, and they are not missed afterwards."""
    base = qa_tiny.checkpoint(tmp_path / "base")
    model, _ = load_qa_model(str(base), fast_attention=False)
    model.save_pretrained(tmp_path / "out", max_shard_size="20KB")
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
    args = SimpleNamespace(output_dir=tmp_path / "out", should_save=True)
    resume.save_model(
        SimpleNamespace(args=args, model=model, save_model=lambda: model.save_pretrained(args.output_dir))
    )
    assert {path.name for path in args.output_dir.iterdir()} == {"config.json", "model.safetensors"}
