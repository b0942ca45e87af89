"""pretrain.py as a command: what it writes, scores and refuses."""

import json
import math
import subprocess
import sys

import datasets
import pytest
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForMaskedLM, AutoTokenizer

from foundation.cli import UserError
from tests.conftest import ROOT
from tests.training import tiny
from training import pretrain
from training.pretraining.arguments import DEFAULTS, PretrainArguments
from training.runs import checkpoints as resume
from training.runs.arguments import make_parser, parse
from training.runs.checkpoints import explain_full_disk, prepare_output_dir


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    (folder / "train.raw").write_text(tiny.text(30_000))
    (folder / "val.raw").write_text(tiny.text(4_000, seed=1))
    tiny.checkpoint(folder / "model")
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def command(material, tmp_path, monkeypatch):
    """Run pretrain.main() on a command line; keywords replace or, when None, remove flags."""

    def call(*more, **changed):
        flags = {
            "model_name_or_path": material / "model", "train_file_path": material / "train.raw",
            "val_file_path": material / "val.raw", "packed_dir": material / "packed", "max_pos": 64,
            "short_length": 16, "max_steps": 6, "warmup_steps": 1, "learning_rate": 1e-2,
            "gradient_accumulation_steps": 2, "logging_steps": 2, "save_steps": 3, "eval_steps": 3,
            "max_eval_sequences": 4, "disable_tqdm": True, "output_dir": tmp_path / "out", **changed,
        }  # fmt: skip
        words = [word for name, value in flags.items() if value is not None for word in (f"--{name}", str(value))]
        monkeypatch.setattr(sys, "argv", ["pretrain.py", *words, *more])
        pretrain.main()
        return tmp_path / "out"

    return call


def test_a_run_writes_a_native_model_that_has_learnt(command, material, capsys):
    output_dir = command("--evaluate_during_training", "--fp16")
    model, info = AutoModelForMaskedLM.from_pretrained(output_dir, output_loading_info=True)
    assert type(model) is transformers.LongformerForMaskedLM
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert len(AutoTokenizer.from_pretrained(output_dir)) == model.config.vocab_size
    state, start = model.state_dict(), AutoModelForMaskedLM.from_pretrained(material / "model").state_dict()
    for name in ("query", "key", "value"):
        attention = "longformer.encoder.layer.1.attention.self."
        local = state[f"{attention}{name}.weight"]
        assert torch.equal(state[f"{attention}{name}_global.weight"], local)
        assert not torch.equal(local, start[f"{attention}{name}.weight"])
    results = json.loads((output_dir / "pretrain_results.json").read_text())
    assert [entry["step"] for entry in results["evaluations"]] == [0, 3, 6]
    assert [step for step, _ in results["losses"]] == [2, 4, 6]
    for suffix in ("", "_16"):
        before, after = (results[when][f"eval_loss{suffix}"] for when in ("before", "after"))
        assert after < before
        assert results["after"][f"eval_perplexity{suffix}"] == pytest.approx(math.exp(after))
        assert results["after"][f"eval_bits_per_byte{suffix}"] > 0
    assert (output_dir / "pretrain_losses.png").stat().st_size > 1000
    table = capsys.readouterr().err
    assert "before (step 0)" in table and "after (step 6)" in table and "bits_per_byte_16" in table
    for step in (3, 6):
        checkpoint = AutoModelForMaskedLM.from_pretrained(output_dir / f"checkpoint-{step}").state_dict()
        assert torch.equal(checkpoint[f"{attention}key_global.bias"], checkpoint[f"{attention}key.bias"])


def test_the_recipe_is_the_default():
    parser = make_parser(PretrainArguments, prog="x", description="x", example="x", defaults=DEFAULTS)
    ours, training_args = parse(parser, [])
    recipe = {
        "learning_rate": 3e-5, "warmup_steps": 500, "weight_decay": 0.01, "max_steps": 6000, "adam_epsilon": 1e-8,
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 64, "max_grad_norm": 1.0, "seed": 42,
    }  # fmt: skip
    assert {name: getattr(training_args, name) for name in recipe} == recipe
    assert (ours.max_pos, ours.attention_window, ours.mlm_probability) == (4096, 512, 0.15)


def test_the_figures_are_those_of_the_best_model_where_that_is_saved(command):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    output_dir = command("--evaluate_during_training", "--do_train", "--do_eval", **best, save_steps=2, eval_steps=2)
    results = json.loads((output_dir / "pretrain_results.json").read_text())
    losses = {entry["step"]: entry["eval_loss"] for entry in results["evaluations"]}
    kept = max((2, 4, 6), key=losses.__getitem__)  # the step of the highest loss, since the last step has the lowest
    assert kept != 6 and list(losses) == [0, 2, 4, 6]
    assert (results["after"]["step"], results["after"]["eval_loss"]) == (kept, losses[kept])
    saved, of_step = (
        AutoModelForMaskedLM.from_pretrained(folder).state_dict()
        for folder in (output_dir, output_dir / f"checkpoint-{kept}")
    )
    assert all(torch.equal(saved[name], of_step[name]) for name in saved)


def test_scoring_alone_changes_nothing(command, material):
    output_dir = command("--do_eval", max_eval_sequences=0)
    results = json.loads((output_dir / "pretrain_results.json").read_text())
    assert set(results) & {"before", "after"} == {"after"} and results["losses"] == []
    assert not (output_dir / "model.safetensors").exists()


def test_a_model_that_is_no_longformer_is_converted_first(command, material, tmp_path):
    tokenizer = tiny.tokenizer()
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=34, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1,
    )  # fmt: skip
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path / "roberta")
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(tmp_path / "roberta")
    output_dir = command(model_name_or_path=tmp_path / "roberta", attention_window=16, max_steps=2)
    model = AutoModelForMaskedLM.from_pretrained(output_dir)
    assert model.config.model_type == "longformer" and model.config.max_position_embeddings == 64 + 2
    assert (output_dir / "converted" / "config.json").is_file()


def test_a_stream_needs_no_pack(command, material):
    output_dir = command("--streaming", "--do_train", packed_dir=material / "unused", val_file_path=None)
    assert (output_dir / "model.safetensors").exists() and not (material / "unused").exists()


def test_documents_apart_and_words_whole_from_a_folder_of_json_lines(command, material, tmp_path):
    for name, path in (("train", "train.raw"), ("val", "val.raw")):
        (tmp_path / name).mkdir()
        rows = [json.dumps({"body": line}) for line in (material / path).read_text().splitlines() if line]
        (tmp_path / name / "rows.jsonl").write_text("\n".join(rows))
    output_dir = command(
        "--do_train", "--do_eval", "--line_by_line", "--whole_word_mask", text_column="body", packed_dir=None,
        train_file_path=tmp_path / "train", val_file_path=tmp_path / "val", max_steps=20, save_steps=20,
        logging_steps=20, eval_steps=20, per_device_train_batch_size=4, max_eval_sequences=0,
    )  # fmt: skip
    results = json.loads((output_dir / "pretrain_results.json").read_text())
    assert results["after"]["eval_loss"] < results["before"]["eval_loss"]
    # All lines are shorter than 64 tokens. So both lengths read the same, except lines that 16 tokens cut.
    assert abs(results["after"]["eval_loss"] - results["after"]["eval_loss_16"]) < 1
    with pytest.raises(UserError, match="belongs to another run"):
        (tmp_path / "train/more.jsonl").write_text('{"body": "one more"}')
        command(
            "--do_train", "--line_by_line", "--whole_word_mask", "--resume_from_checkpoint", text_column="body",
            packed_dir=None, train_file_path=tmp_path / "train", val_file_path=None, max_steps=22, save_steps=20,
            per_device_train_batch_size=4,
        )  # fmt: skip


def test_checkpoints_beyond_the_limit_are_deleted_after_the_new_one_is_marked(command):
    output_dir = command("--do_train", save_steps=1, save_total_limit=2)
    assert sorted(path.name for path in output_dir.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-6"]
    assert all((path / resume.MARK).is_file() for path in output_dir.glob("checkpoint-*"))


def test_global_projections_that_were_trained_apart_stay_and_it_is_said(command, tmp_path, capsys):
    model = tiny.longformer(len(tiny.tokenizer()))  # random global projections, and no copies of the local ones
    model.save_pretrained(tmp_path / "old")
    tiny.tokenizer().save_pretrained(tmp_path / "old")
    output_dir = command("--do_train", model_name_or_path=tmp_path / "old", max_steps=2, save_steps=1)
    after, before = (
        AutoModelForMaskedLM.from_pretrained(folder).state_dict() for folder in (output_dir, tmp_path / "old")
    )
    for name in before:
        if "_global" in name:
            assert torch.equal(after[name], before[name])
    assert not torch.equal(after["lm_head.bias"], before["lm_head.bias"])
    assert "were trained apart from the local ones: they stay as they are" in capsys.readouterr().err


def test_an_evaluation_leaves_the_record_and_the_card_of_the_training(command):
    output_dir = command("--do_train", "--do_eval", max_steps=2)
    trained = json.loads((output_dir / "pretrain_results.json").read_text())
    card = (output_dir / "README.md").read_text()
    command("--do_eval", "--overwrite_output_dir", model_name_or_path=output_dir, train_file_path=None, max_steps=-1)
    results = json.loads((output_dir / "pretrain_results.json").read_text())
    assert results["losses"] == trained["losses"] and results["run"] == trained["run"] and results["losses"]
    assert len(results["evaluations"]) == len(trained["evaluations"]) + 1
    renewed = (output_dir / "README.md").read_text()
    assert card.split("## Made by")[1] == renewed.split("## Made by")[1] and "2 steps, seed 42" in renewed
    assert str(output_dir.parent) not in renewed + json.dumps(results)


def test_a_checkpoint_that_was_cut_short_is_passed_over(command, capsys):
    output_dir = command("--do_train", save_steps=2)
    (output_dir / "checkpoint-6" / resume.MARK).unlink()
    (output_dir / "checkpoint-6" / "model.safetensors").write_bytes(b"half")
    before = json.loads((output_dir / "trainer_state.json").read_text())["log_history"]
    command("--do_train", "--resume_from_checkpoint", save_steps=2)
    after = json.loads((output_dir / "trainer_state.json").read_text())["log_history"]
    assert [e["loss"] for e in before if "loss" in e] == [e["loss"] for e in after if "loss" in e]
    with pytest.raises(UserError, match="holds no whole checkpoint"):
        command("--resume_from_checkpoint", output_dir=output_dir / "elsewhere")
    (output_dir / "checkpoint-4" / resume.MARK).unlink()
    with pytest.raises(UserError, match="is not a whole checkpoint"):
        command("--do_train", "--resume_from_checkpoint", str(output_dir / "checkpoint-4"), save_steps=2)


def test_a_push_is_one_commit_that_loads_again(command, loopback_hub, monkeypatch):
    loopback_hub.here(monkeypatch)
    command("--do_train", "--do_eval", "--push_to_hub", hub_model_id="org/long", max_steps=2, save_steps=1)
    commits = loopback_hub.api().list_repo_commits("org/long")
    assert sum(commit.title.startswith("MLM of") for commit in commits) == 1
    files = set(loopback_hub.api().list_repo_files("org/long"))
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "pretrain_results.json"} <= files
    assert not any("checkpoint" in name or name == "training_args.bin" for name in files)
    again = AutoModelForMaskedLM.from_pretrained("org/long")
    assert again.config.max_position_embeddings == 66


def test_a_dataset_of_the_hub_stands_for_the_files(command, material, tmp_path):
    for split, name in (("train", "train"), ("validation", "val")):
        lines = (material / f"{name}.raw").read_text().splitlines()
        datasets.Dataset.from_dict({"text": lines}).to_parquet(tmp_path / "data" / f"{split}.parquet")
    files = {"train_file_path": None, "val_file_path": None, "dataset_name": tmp_path / "data", "packed_dir": None}
    output_dir = command("--do_train", "--do_eval", **files, max_steps=2)
    assert "before" in json.loads((output_dir / "pretrain_results.json").read_text())
    with pytest.raises(UserError, match=r"split 'dev' of --dataset_name .* cannot be loaded: Unknown split"):
        command(**files, validation_split="dev", output_dir=tmp_path / "other")


def test_a_dataset_that_cannot_be_reached_is_one_sentence(command, monkeypatch):
    def offline(*args, **more):
        raise ConnectionError("Couldn't reach 'org/wiki' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError, match=r"--dataset_name 'org/wiki' cannot be loaded: Couldn't reach"):
        command(train_file_path=None, val_file_path=None, dataset_name="org/wiki")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"max_pos": 4}, "--max_pos 4 is too short"),
        ({"max_pos": 128}, "--max_pos 128 is longer than the 64 positions of"),
        ({"short_length": 2}, "--short_length 2"),
        ({"num_proc": 0}, "--num_proc 0"),
        ({"max_eval_sequences": -1}, "--max_eval_sequences -1 is not a number of sequences"),
        ({"train_sampling_strategy": "sequential"}, "--train_sampling_strategy sequential has no part"),
        ({"mlm_probability": 0}, "--mlm_probability 0"),
        ({"train_file_path": None}, "nothing to train on"),
        ({"train_file_path": "missing.raw"}, "--train_file_path 'missing.raw' is not a file"),
        ({"dataset_name": "org/wikitext"}, "exclude each other"),
        ({"line_by_line": True, "document_separator": "</s>"}, "--line_by_line keeps documents apart"),
        ({"document_separator": "<doc>", "packed_dir": None}, "--document_separator '<doc>' is no token"),
        ({"model_name_or_path": "no/such/model"}, "no/such/model"),
        ({"resume_from_checkpoint": "nowhere"}, "--resume_from_checkpoint 'nowhere' is not a whole checkpoint"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(command, tmp_path, changed, sentence):
    with pytest.raises((UserError, OSError)) as error:
        command(**changed)
    assert sentence in str(error.value)
    if isinstance(error.value, UserError):
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_output_dir_that_holds_something_is_kept(command, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"--output_dir .* is not empty"):
        command()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    (tmp_path / "out" / "checkpoint-99").mkdir()
    command("--overwrite_output_dir", "--do_train")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "out" / "checkpoint-99").exists()  # else a later resume would take it as the newest


def test_a_tokenizer_of_another_model_is_refused(command, material, tmp_path):
    model = tiny.checkpoint(tmp_path / "model")
    tiny.tokenizer(vocab_size=320).save_pretrained(model)
    with pytest.raises(UserError, match="320 tokens and its model only 300"):
        command(model_name_or_path=model)


def test_only_a_full_disk_is_explained_as_one():
    with pytest.raises(UserError, match="disk is full while saving checkpoint-7"), explain_full_disk("checkpoint-7"):
        raise OSError(28, "No space left on device")
    with pytest.raises(RuntimeError, match="shape"), explain_full_disk("checkpoint-7"):
        raise RuntimeError("shape mismatch")


def test_a_disk_that_fills_with_the_last_weights_is_explained(command, monkeypatch):
    def full(*args, **more):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("training.pretraining.trainer.MlmTrainer.save_model", full)
    with pytest.raises(UserError, match="disk is full while saving the model into"):
        command("--do_train", max_steps=1, save_strategy="no")


def test_resume_takes_the_newest_by_number(tmp_path):
    run = {"seed": 1}
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / resume.MARK).write_text(json.dumps(run))
    (tmp_path / "checkpoint-best").mkdir()
    args = transformers.TrainingArguments(output_dir=str(tmp_path), resume_from_checkpoint="last", use_cpu=True)
    assert prepare_output_dir(args, run, overwrite=False) == str(tmp_path / "checkpoint-100")


@pytest.mark.slow
def test_help_and_a_mistake_from_the_shell(tmp_path):
    script = [sys.executable, "training/pretrain.py"]
    helped = subprocess.run([*script, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert helped.returncode == 0 and "--max_pos" in helped.stdout and "(default: 6000)" in helped.stdout
    assert "example:" in helped.stdout
    wrong = subprocess.run([*script, "--max_poss", "1"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr == "error: unknown argument '--max_poss': did you mean --max_pos?\n"
