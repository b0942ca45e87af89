"""The shared command line: the thesis's flags, help, the notices and the one-sentence refusals."""

import os
import shlex
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from foundation.cli import UserError
from training.runs import arguments
from training.runs.arguments import SharedArguments, make_parser, parse, rewrite_thesis_flags

THESIS = """--model_name_or_path xlm-roberta-base --model_name long --output_dir OUT --logging_dir LOGS --seed 42
    --adam_epsilon 1e-8 --warmup_steps 500 --learning_rate 3e-5 --weight_decay 0.01 --max_steps 6000
    --evaluate_during_training --logging_steps 50 --eval_steps 50 --save_steps 6000 --max_grad_norm 1.0
    --per_device_eval_batch_size 2 --per_device_train_batch_size 1 --gradient_accumulation_steps 64
    --overwrite_output_dir --fp16 --do_train --do_eval"""


@dataclass
class _Arguments(SharedArguments):
    window: int = field(default=7, metadata={"help": "An own flag."})


@pytest.fixture
def parser():
    return make_parser(
        _Arguments, prog="launch x.py", description="About x.", example="  launch x.py --seed 1", defaults={"seed": 9}
    )


def test_the_thesis_command_line_is_taken_as_it_stands(parser, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "unset")
    command = THESIS.replace("OUT", str(tmp_path / "out")).replace("LOGS", str(tmp_path / "logs"))
    ours, training_args = parse(parser, shlex.split(command))
    assert ours.overwrite_output_dir and ours.model_name_or_path == "xlm-roberta-base" and ours.window == 7
    assert training_args.eval_strategy == "steps" and training_args.eval_steps == 50
    assert training_args.run_name == "long" and training_args.gradient_accumulation_steps == 64
    assert training_args.report_to == ["tensorboard"]
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "logs")
    if training_args.device.type == "cpu":
        assert not training_args.fp16
        assert capsys.readouterr().err.count("--bf16") == 1


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ("--group_by_length", "train_sampling_strategy", "group_by_length"),
        ("--group_by_length True --seed 3", "train_sampling_strategy", "group_by_length"),
        ("--group_by_length False --seed 3", "train_sampling_strategy", "random"),
        ("--warmup_ratio 0.06", "warmup_steps", 0.06),
        ("--warmup-ratio=0.06", "warmup_steps", 0.06),
        ("--gradient_checkpointing", "activation_checkpointing", True),
        ("--gradient_checkpointing --seed 3", "activation_checkpointing", True),
        ("--gradient_checkpointing False", "activation_checkpointing", False),
        ("--evaluation_strategy epoch", "eval_strategy", "epoch"),
        ("--no_cuda", "use_cpu", True),
        ("--resume_from_checkpoint", "resume_from_checkpoint", "last"),
        ("--resume_from_checkpoint --seed 3", "resume_from_checkpoint", "last"),
        ("--resume-from-checkpoint out/checkpoint-5", "resume_from_checkpoint", "out/checkpoint-5"),
        ("", "seed", 9),
        ("--fsdp_config {\"a\":1}", "fsdp_config", {"a": 1}),
    ],
)  # fmt: skip
def test_old_and_new_flags_arrive(parser, given, name, expected):
    _, training_args = parse(parser, given.split())
    value = getattr(training_args, name)
    assert (expected.items() <= value.items()) if isinstance(expected, dict) else value == expected


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("--learning_rat 1", ["--learning_rat", "--learning_rate"]),
        ("--learning_rate fast", ["--learning_rate", "fast"]),
        ("--warmup_ratio 3", ["--warmup_ratio", "'3'", "[0, 1)"]),
        ("--warmup_ratio", ["--warmup_ratio"]),
        ("--eval_strategy sometimes", ["sometimes"]),
        ("--fp16_full_eval --bf16_full_eval", ["fp16 and bf16"]),
        ("stray", ["'stray'"]),
    ],
)
def test_bad_input_is_one_sentence(parser, given, parts):
    with pytest.raises(UserError) as error:
        parse(parser, given.split())
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in parts)


def test_help_shows_defaults_and_the_example(parser):
    text = parser.format_help()  # raises if a help text holds a raw %
    assert "launch x.py --seed 1" in text and "An own flag. (default: 7)" in text
    assert "--seed SEED" in text and "(default: 9)" in text and len(parser.format_usage().splitlines()) == 1


def test_no_flag_of_the_map_exists_any_more(parser):
    known = {option[2:] for action in parser._actions for option in action.option_strings}
    for old, new in arguments.THESIS_FLAGS.items():
        assert new.split()[0] in known
        # Transformers still has this one, as a deprecated alias.
        assert old not in known or old.startswith("gradient_checkpointing")


def test_rewriting_leaves_values_alone():
    assert rewrite_thesis_flags(["--output_dir", "a-b/c_d", "--max-steps", "-1"]) == [
        "--output_dir", "a-b/c_d", "--max_steps", "-1",
    ]  # fmt: skip


def test_processes_that_do_not_take_part_are_noticed(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    on_cpu = SimpleNamespace(world_size=2, distributed_state=SimpleNamespace(distributed_type="MULTI_CPU"))
    arguments._check_world(on_cpu)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="no FSDP on a CPU"):
        arguments._check_world(on_cpu)
    with pytest.raises(UserError, match="2 processes but only 1"):
        arguments._check_world(SimpleNamespace(world_size=1))


@pytest.mark.parametrize(
    ("given", "accelerator", "launched", "expected"),
    [
        ("", True, "no", True),
        ("", False, "no", False),
        ("--bf16 false", True, "no", False),
        ("--fp16", True, "no", False),
        ("--use_cpu", True, "no", False),
        ("", True, "fp16", False),
    ],
)
def test_bf16_is_taken_where_the_accelerator_computes_in_it(
    parser, monkeypatch, capsys, given, accelerator, launched, expected
):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: accelerator)
    monkeypatch.setattr("torch.cuda.is_available", lambda: accelerator)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    values = arguments._values(parser, given.split())
    arguments._fit_to_device(values)
    assert values["bf16"] is expected
    assert ("--bf16 false trains in float32" in capsys.readouterr().err) is expected
