"""Equivalences, run as a user runs them: processes, machines, sharding, a kill, a full disk.

| pre-training or fine-tuning       | against                              | demanded          |
|-----------------------------------|--------------------------------------|-------------------|
| two processes                     | one, twice the accumulation          | 1e-5, 20 steps    |
| two machines (two launchers)      | one process, twice the accumulation  | 1e-5, 20 steps    |
| FSDP over two processes           | one process, twice the accumulation  | 1e-5, 20 steps    |
| activation checkpointing          | none                                 | 1e-6              |
| kill -9 and resume                | an uninterrupted run                 | bit for bit       |
| the same command twice            | itself                               | the same bytes    |
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from tests.conftest import ROOT
from tests.training import tiny
from tests.training.launch import command, environment, free_port, largest_difference, losses, run, succeed

PRETRAIN = "training/pretrain.py"
FINETUNE = "training/finetune.py"


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with text, a model without dropout and one with."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "train.raw").write_text(tiny.text(30_000))
    (folder / "val.raw").write_text(tiny.text(4_000, seed=1))
    tiny.checkpoint(folder / "plain")
    tiny.checkpoint(folder / "dropout", dropout=0.1)
    return folder


def _pretrain_arguments(material, output_dir, model="plain", **changed):
    flags = {
        "model_name_or_path": material / model, "train_file_path": material / "train.raw",
        "val_file_path": material / "val.raw", "packed_dir": material / "packed", "max_pos": 64, "short_length": 16,
        "max_steps": 20, "warmup_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 4, "logging_steps": 1, "save_steps": 5, "max_eval_sequences": 5,
        "eval_steps": 20, "disable_tqdm": True, "output_dir": output_dir, **changed,
    }  # fmt: skip
    return ["--do_train", "--do_eval", *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]


def _metrics(output_dir):
    after = json.loads((output_dir / "pretrain_results.json").read_text())["after"]
    return {name: value for name, value in after.items() if name.startswith("eval_")}


@pytest.fixture(scope="module")
def straight(material, tmp_path_factory):
    """One process, four accumulated sequences a step, nothing interrupted."""
    output_dir = tmp_path_factory.mktemp("runs") / "straight"
    succeed(PRETRAIN, _pretrain_arguments(material, output_dir))
    assert len(losses(output_dir)) == 20
    return output_dir


def _is_equal_to(straight, output_dir, processes):
    assert json.loads((output_dir / "pretrain_results.json").read_text())["run"]["processes"] == processes
    assert largest_difference(losses(straight), losses(output_dir)) < 1e-5
    for name, value in _metrics(straight).items():
        assert _metrics(output_dir)[name] == pytest.approx(value, rel=1e-5)
    return True


def test_two_processes_pretrain_like_one_with_twice_the_accumulation(material, straight, tmp_path):
    arguments = _pretrain_arguments(material, tmp_path / "two", gradient_accumulation_steps=2)
    succeed(PRETRAIN, arguments, config="multi_gpu.yaml")
    assert _is_equal_to(straight, tmp_path / "two", processes=2)


@pytest.mark.slow
def test_two_processes_share_a_stream_like_one(material, tmp_path):
    for name, accumulation, config in (("one", 4, None), ("two", 2, "multi_gpu.yaml")):
        flags = _pretrain_arguments(material, tmp_path / name, gradient_accumulation_steps=accumulation)
        succeed(PRETRAIN, [*flags, "--streaming"], config=config)
    assert _is_equal_to(tmp_path / "one", tmp_path / "two", processes=2)


@pytest.mark.slow
def test_two_machines_pretrain_like_one_process(material, straight, tmp_path):
    arguments = _pretrain_arguments(material, tmp_path / "nodes", gradient_accumulation_steps=2)
    port = free_port()
    launchers = [
        subprocess.Popen(
            command(PRETRAIN, arguments, "multi_node.yaml", ("--machine_rank", rank, "--main_process_port", port)),
            cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    assert [launcher.wait(240) for launcher in launchers] == [0, 0]
    assert _is_equal_to(straight, tmp_path / "nodes", processes=2)


@pytest.mark.slow
def test_sharded_processes_pretrain_and_resume_like_one_process(material, straight, tmp_path):
    arguments = _pretrain_arguments(material, tmp_path / "fsdp", gradient_accumulation_steps=2)
    script = f"tests/training/fsdp_on_cpu.py {PRETRAIN}"
    told = succeed(script, arguments, config="fsdp.yaml", PYTHONPATH=str(ROOT))
    assert int(re.findall(r"sharded parameters: (\d+)", told)[0]) > 30
    assert _is_equal_to(straight, tmp_path / "fsdp", processes=2)
    shutil.rmtree(tmp_path / "fsdp" / "checkpoint-20")
    resume = [*arguments, "--resume_from_checkpoint", str(tmp_path / "fsdp" / "checkpoint-15")]
    succeed(script, resume, config="fsdp.yaml", PYTHONPATH=str(ROOT))
    assert _is_equal_to(straight, tmp_path / "fsdp", processes=2)


@pytest.mark.slow
def test_activation_checkpointing_changes_nothing(material, straight, tmp_path):
    succeed(PRETRAIN, [*_pretrain_arguments(material, tmp_path / "run"), "--gradient_checkpointing"])
    assert largest_difference(losses(straight), losses(tmp_path / "run")) < 1e-6


@pytest.mark.slow
def test_native_attention_changes_nothing(material, straight, tmp_path):
    succeed(PRETRAIN, [*_pretrain_arguments(material, tmp_path / "run"), "--no_fast_attention"])
    assert largest_difference(losses(straight), losses(tmp_path / "run")) < 1e-5


def _kill_after(arguments, script, mark, config=None):
    """Start, and kill -9 the whole session of processes as soon as the file `mark` is there."""
    process = subprocess.Popen(
        command(script, arguments, config), cwd=ROOT, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mark.exists() and process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["packed", "streaming"])
def test_a_killed_run_goes_on_bit_for_bit(material, tmp_path, streaming):
    # With dropout, so that the state of the random numbers matters. 60 steps are more than an epoch.
    def arguments(name):
        flags = _pretrain_arguments(material, tmp_path / name, model="dropout", max_steps=60, eval_steps=1000)
        return [*flags, "--streaming"] if streaming else flags

    succeed(PRETRAIN, arguments("straight"))
    _kill_after(arguments("killed"), PRETRAIN, tmp_path / "killed" / "checkpoint-20" / "run.json")
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    succeed(PRETRAIN, [*arguments("killed"), "--resume_from_checkpoint"])
    assert largest_difference(losses(tmp_path / "killed"), losses(tmp_path / "straight")) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "killed")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes(material, tmp_path):
    for name in ("a", "b"):
        succeed(PRETRAIN, _pretrain_arguments(material, tmp_path / name, model="dropout", max_steps=4))
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(not _can_mount(), reason="needs a disk of its own (unshare, mount)")
def test_a_full_disk_leaves_the_previous_checkpoint_usable(material, straight, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = _pretrain_arguments(material, disk / "run")
    checkpoint_size = sum(path.stat().st_size for path in (straight / "checkpoint-5").iterdir())
    first = " ".join(command(PRETRAIN, arguments))
    again = " ".join(command(PRETRAIN, [*arguments, "--resume_from_checkpoint"]))
    script = f"""
        mount -t tmpfs -o size={int(2.5 * checkpoint_size)} none {disk}
        {first}; echo first: $? ; ls {disk}/run/*/run.json
        mount -o remount,size=50M {disk}
        {again}; echo again: $? ; cp -r {disk}/run {tmp_path}/kept
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert "first: 2" in done.stdout and "again: 0" in done.stdout, done.stderr[-3000:]
    assert "the disk is full while saving checkpoint-15" in done.stderr and "Traceback" not in done.stderr
    assert losses(tmp_path / "kept") == losses(straight)


def _finetune_arguments(model, output_dir, **changed):
    flags = {
        "model_name_or_path": model, "dataset": "sample", "language": "all", "max_length": 64, "doc_stride": 16,
        "max_question_length": 32, "max_steps": 20, "warmup_steps": 2, "learning_rate": 1e-3,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "logging_steps": 1,
        "save_strategy": "steps", "save_steps": 5, "max_eval_samples": 7, "disable_tqdm": True,
        "output_dir": output_dir, **changed,
    }  # fmt: skip
    return ["--do_train", "--do_eval", *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]


@pytest.mark.slow
@pytest.mark.parametrize("looks", [{}, {"second_look": 1, "look_share": 0.7}], ids=["reads once", "looks again"])
def test_two_processes_finetune_like_one_and_write_the_same_predictions(material, tmp_path, looks):
    few = {"max_train_samples": 10, **looks}  # epochs end within the 20 steps, each in the middle of an update
    told = succeed(FINETUNE, _finetune_arguments(material / "plain", tmp_path / "one", **few))
    windows = int(re.findall(r"became (\d+) training windows", told)[0])
    assert windows % 4 and windows < 20 * 4 / 2
    two = _finetune_arguments(material / "plain", tmp_path / "two", gradient_accumulation_steps=1, **few)
    succeed(FINETUNE, two, config="multi_gpu.yaml")
    assert json.loads((tmp_path / "two" / "checkpoint-20" / "run.json").read_text())["processes"] == 2
    assert largest_difference(losses(tmp_path / "one"), losses(tmp_path / "two")) < 1e-5
    for name in ("again-1", "again-2"):  # one process evaluates the model, then two
        flags = _finetune_arguments(tmp_path / "one", tmp_path / name)
        succeed(FINETUNE, flags[1:], config="multi_gpu.yaml" if name.endswith("2") else None)
    one, again = (
        {path.parent.name: path.read_bytes() for path in (tmp_path / name).rglob("predictions.json")}
        for name in ("again-1", "again-2")
    )
    assert len(one) > 1 and one == again  # a folder for each language


@pytest.mark.slow
def test_a_killed_finetuning_goes_on_bit_for_bit(material, tmp_path):
    def arguments(name):
        return _finetune_arguments(material / "dropout", tmp_path / name, max_steps=40)

    succeed(FINETUNE, arguments("straight"))
    _kill_after(arguments("killed"), FINETUNE, tmp_path / "killed" / "checkpoint-15" / "run.json")
    succeed(FINETUNE, [*arguments("killed"), "--resume_from_checkpoint"])
    assert largest_difference(losses(tmp_path / "killed"), losses(tmp_path / "straight")) == 0


@pytest.mark.slow
def test_the_launcher_that_starts_one_process_is_what_the_configurations_avoid(tmp_path):
    """`--cpu --num_processes 2` really starts one process, which is why multi_gpu.yaml serves CPUs too."""
    script = tmp_path / "world.py"
    # One write a line: two processes share the pipe, and words that are written apart get mixed.
    said = "sys.stdout.write(f'world {PartialState(cpu=True).num_processes}\\n')"
    script.write_text(f"import sys\nfrom accelerate import PartialState\n{said}\n")
    launch = command(str(script), [], "cpu.yaml")
    silent = [*launch[:3], "--cpu", "--num_processes", "2", "--num_machines", "1", str(script)]
    seen = [
        subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True).stdout.split("\n")
        for words in (silent, command(str(script), [], "multi_gpu.yaml"))
    ]
    assert seen[0].count("world 1") == 1 and seen[1].count("world 2") == 2


def test_a_run_of_other_arguments_is_not_resumed(material, straight):
    before = sorted(str(path) for path in straight.rglob("*"))
    done = run(PRETRAIN, [*_pretrain_arguments(material, straight, seed=7), "--resume_from_checkpoint"])
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "belongs to another run (seed was 42 and is now 7)" in done.stderr
    assert before == sorted(str(path) for path in straight.rglob("*"))
