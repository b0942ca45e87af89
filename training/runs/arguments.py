"""The command line of `pretrain.py` and `finetune.py`, with every TrainingArguments flag and the thesis's names, and of
the commands that train nothing, without.

    parser = make_parser(PretrainArguments, defaults={"learning_rate": 3e-5}, prog=..., description=..., example=...)
    arguments, training_args = parse(parser, sys.argv[1:])

Each command has one dataclass of its own; that of a training is a child of `SharedArguments`. Flags of the thesis that
today's transformers refuse are rewritten before parsing (`THESIS_FLAGS`), so that its commands run as they stand.
"""

import dataclasses
import difflib
import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar, cast

from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import string_to_bool

from foundation.cli import UserError

# Old flag: new flag. If only the new one takes a value, it stands after a space.
THESIS_FLAGS = {
    "evaluate_during_training": "eval_strategy steps",
    "evaluation_strategy": "eval_strategy",
    "group_by_length": "train_sampling_strategy group_by_length",
    "warmup_ratio": "warmup_steps",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "no_cuda": "use_cpu",
}
SWITCHES = [f"--{name}" for name, new in THESIS_FLAGS.items() if " " in new]  # old flags without a value
LAST = "last"
NATIVE = "--native_attention"  # score.py's old name of --no_fast_attention


@dataclass
class ModelArguments:
    """Flags of ours that every command with a model takes."""

    model_name_or_path: str = field(
        default="embedded",
        metadata={"help": "A Hub id, a local folder, or 'embedded' for the checkpoint that needs no network."},
    )
    revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a model on the Hub."})
    overwrite_output_dir: bool = field(
        default=False,
        metadata={
            "help": "Allow an output_dir that holds something: what an earlier run wrote makes way, all else stays."
        },
    )
    fast_attention: bool = field(
        default=True, metadata={"help": "Use conversion.attention, exact and faster, in place of the native attention."}
    )


@dataclass
class SharedArguments(ModelArguments):
    """Flags of ours that both trainings take."""

    model_name: str | None = field(default=None, metadata={"help": "Name of the run in trackers (sets run_name)."})
    logging_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of TensorBoard's logs; given alone it also turns TensorBoard on (report_to)."},
    )


class Parser(HfArgumentParser):
    """HfArgumentParser whose mistakes are one sentence: its usage would be two hundred lines."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


class _Formatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Defaults after every flag, and the example as it was typed."""


def make_parser(
    kind: type, *, prog: str, description: str, example: str, defaults: dict[str, Any] | None = None
) -> Parser:
    """A parser of `kind` and, for a training, of TrainingArguments, whose defaults `defaults` replaces."""
    trains = issubclass(kind, SharedArguments)
    parser = Parser(
        cast(Any, [kind, TrainingArguments] if trains else [kind]),
        prog=prog,
        usage=f"{prog} [--flag value ...]",
        description=description,
        epilog=f"example:\n{example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    for action in parser._actions:
        # A flag of `bool | None` wants a value. Alone it shall mean true, as other switches do.
        if action.type is string_to_bool and action.nargs is None:
            action.nargs, action.const = "?", True
    parser.set_defaults(**({"bf16": None} if trains else {}), **(defaults or {}))
    return parser


def parse(parser: Parser, argv: list[str]) -> tuple[Any, TrainingArguments]:
    """(our arguments, TrainingArguments) from a command line that may use the thesis's flags.

    Raises UserError, in one sentence, for an unknown flag, a value out of range or a combination that
    TrainingArguments refuses, and when the launcher started more processes than take part.
    """
    values = _values(parser, rewrite_thesis_flags(argv))
    _fit_to_device(values)
    _apply_shared(values)
    ours = _ours(parser, values)
    try:
        training_args = TrainingArguments(**values)
    except ValueError as error:
        raise UserError(f"the training arguments do not fit together: {error}") from error
    _check_world(training_args)
    return ours, training_args


class Checked(Protocol):
    """A command's dataclass that says what of its values cannot be used."""

    def check(self) -> None: ...


Alone = TypeVar("Alone", bound=Checked)


def parse_alone(kind: type[Alone], argv: list[str], *, prog: str, description: str, example: str) -> Alone:
    """The checked arguments of a command that trains nothing. Raises UserError as `parse` and as their `check` do."""
    parser = make_parser(kind, prog=prog, description=description, example=example)
    words = ["--no_fast_attention" if word == NATIVE else word for word in argv]
    arguments: Alone = _ours(parser, _values(parser, words))
    arguments.check()
    return arguments


def _values(parser: Parser, argv: list[str]) -> dict[str, Any]:
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = [option for action in parser._actions for option in action.option_strings]
        near = difflib.get_close_matches(unknown[0], flags, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see {parser.prog} --help"
        raise UserError(f"unknown argument {unknown[0]!r}: {hint}")
    return vars(namespace)


def _ours(parser: Parser, values: dict[str, Any]) -> Any:
    """Take the fields of the parser's own dataclass out of `values`."""
    kind = next(iter(parser.dataclass_types))
    return kind(**{each.name: values.pop(each.name) for each in dataclasses.fields(kind)})


def rewrite_thesis_flags(argv: list[str]) -> list[str]:
    """The same command line in today's names; `--flag=value` is split, a bare `--resume_from_checkpoint` is 'last'."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    rewritten = []
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else "--"
        name = word[2:].replace("-", "_") if word.startswith("--") else ""
        if name == "warmup_ratio":
            _check_ratio(following)
        if word in ("True", "False", "true", "false") and position and words[position - 1] in SWITCHES:
            continue
        if f"--{name}" in SWITCHES and following.lower() == "false":
            continue
        if name in THESIS_FLAGS:
            new, *value = THESIS_FLAGS[name].split()
            rewritten += [f"--{new}", *value]
        else:
            rewritten.append(f"--{name}" if name else word)
        if name == "resume_from_checkpoint" and following.startswith("--"):
            rewritten.append(LAST)
    return rewritten


def _check_ratio(value: str) -> None:
    try:
        valid = 0 <= float(value) < 1
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"--warmup_ratio {value!r} is not in [0, 1): give a share of the steps, or --warmup_steps N")


def _apply_shared(values: dict[str, Any]) -> None:
    """Carry our flags over to where transformers reads them."""
    if values["logging_dir"] is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = os.path.expanduser(values["logging_dir"])
        if values["report_to"] == "none":
            values["report_to"] = "tensorboard"
    if values["model_name"] is not None and values["run_name"] is None:
        values["run_name"] = values["model_name"]


def _fit_to_device(values: dict[str, Any]) -> None:
    """On a machine without an accelerator: use_cpu (else two launched processes never meet), and no fp16.

    Where nothing is said of bf16, it is taken on accelerators that compute in it, as the readers do.
    """
    import torch

    if not torch.accelerator.is_available():
        values["use_cpu"] = True
    if values["bf16"] is None:
        said = values["fp16"] or os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no"
        values["bf16"] = not (said or values["use_cpu"]) and _computes_in_bfloat16()
        if values["bf16"]:
            print("note: bf16, which this accelerator computes in; --bf16 false trains in float32", file=sys.stderr)
    if values["fp16"] and values["use_cpu"]:
        values["fp16"] = False
        print(
            "note: --fp16 does nothing on a CPU, so this run is in float32; --bf16 is what a CPU can", file=sys.stderr
        )
    if values["bf16"] and values["use_cpu"]:
        warn_of_emulated_bfloat16()


def _computes_in_bfloat16() -> bool:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.xpu.is_available() and torch.xpu.is_bf16_supported(including_emulation=False)


def warn_of_emulated_bfloat16() -> None:
    """Say it when this CPU has no bfloat16 products; on a Zen 3 one took 88 times as long as in float32."""
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print(
            "note: --bf16 is far slower than float32 on this CPU, which has to emulate it: leave it out",
            file=sys.stderr,
        )


def _check_world(training_args: TrainingArguments) -> None:
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if training_args.world_size != launched:
        raise UserError(
            f"the launcher started {launched} processes but only {training_args.world_size} take part in this run: "
            "use a configuration from training/configs (on CPUs: distributed_type MULTI_GPU with use_cpu)"
        )
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if sharded and training_args.distributed_state.distributed_type == "MULTI_CPU":
        raise UserError(
            "accelerate has no FSDP on a CPU and would run DDP instead: use training/configs/multi_gpu.yaml"
        )
