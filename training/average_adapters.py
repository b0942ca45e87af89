"""Average LoRA adapters that came of one another: often what a later training gained, at less of what it cost.

    python -m training.average_adapters --adapter runs/round1 runs/round2 --output_dir runs/mean
    python -m training.average_adapters --adapter runs/reader runs/far --weights 0 1 --only _global \\
        --output_dir runs/graft

Training an adapter further (finetune.py on its folder) pulls it away from what it did well before. The mean of both
ends often does better than either on both kinds of data (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models"). The matrices A and B are averaged each by itself, which is meaningful only between adapters of one descent:
two that were started apart share no axes. With --only a part of the weights is averaged, or taken from one of them;
the others stay the first adapter's.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, read_json
from foundation.model_files import READING

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SAME = ("base_model_name_or_path", "revision", "r", "lora_alpha", "use_rslora", "target_modules", "modules_to_save")


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Average LoRA adapters that came of one another.",
        example="python -m training.average_adapters --adapter runs/round1 runs/round2 --output_dir runs/mean",
    )
    parser.add_argument("--adapter", nargs="+", required=True, help="output folders of finetune.py with --lora_r")
    parser.add_argument("--weights", nargs="+", type=float, help="share of each; the sum is 1 (default: equal shares)")
    parser.add_argument("--only", help="average the tensors whose names have this in them, keep the first one's others")
    parser.add_argument("--output_dir", required=True, help="folder to write")
    parser.add_argument(
        "--overwrite_output_dir", action="store_true", help="replace what an earlier averaging wrote there"
    )
    return parser


def average(
    adapters: Sequence[Path],
    output_dir: Path,
    weights: Sequence[float] | None = None,
    overwrite: bool = False,
    only: str | None = None,
) -> Path:
    """Write the weighted mean of `adapters` (float32) to `output_dir`, with the first one's configuration.

    Args:
        only: average the tensors whose names have this in them; the others are the first adapter's.

    Raises:
        UserError: fewer than two adapters, shares that do not sum to 1, or adapters of another base, rank or shape, or
            no tensor that is called so.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from training.qa.second_look import read_places
    from training.runs.origin import beside_model

    if len(adapters) < 2:
        raise UserError("--adapter names one folder: give two or more to average")
    shares = list(weights) if weights else [1 / len(adapters)] * len(adapters)
    if len(shares) != len(adapters):
        raise UserError(f"--weights has {len(shares)} shares for {len(adapters)} adapters: give one for each")
    if abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"--weights sum to {sum(shares):g}: let them sum to 1")
    for adapter in adapters:
        check_apart(output_dir, adapter)
        if not (adapter / WEIGHTS).is_file():
            raise UserError(f"--adapter {str(adapter)!r} has no {WEIGHTS}: train one with --lora_r")
    configs = [read_json(adapter / CONFIG, "--adapter") for adapter in adapters]
    for adapter, config in zip(adapters[1:], configs[1:], strict=True):
        for name in SAME:
            first, this = (sorted(v) if isinstance(v := c.get(name), list) else v for c in (configs[0], config))
            if first != this:
                raise UserError(
                    f"--adapter {str(adapter)!r} has {name} {this!r} and {str(adapters[0])!r} {first!r}: "
                    "average adapters of one base and one shape, the later trained from the earlier"
                )
    mean: dict[str, torch.Tensor] = {}
    for adapter, share in zip(adapters, shares, strict=True):
        tensors = load_file(adapter / WEIGHTS)
        if mean and (mean.keys() != tensors.keys() or any(mean[name].shape != tensors[name].shape for name in tensors)):
            raise UserError(f"--adapter {str(adapter)!r} does not hold the tensors of {str(adapters[0])!r}")
        if only is not None and not any(only in name for name in tensors):
            raise UserError(f"--only {only!r} is in the name of no tensor of {str(adapter)!r}: give a part of one")
        for name, tensor in tensors.items():
            if only is None or only in name:
                mean[name] = mean.get(name, torch.zeros(tensor.shape)) + share * tensor.float()
            else:
                mean.setdefault(name, tensor.float())
    looks = {read_places(beside_model(str(adapter), READING)) for adapter in adapters}
    if len(looks) > 1:
        said = " and ".join(sorted("no file" if each is None else str(each) for each in looks))
        raise UserError(f"--adapter: the second_look of their {READING} differs, {said}: write the same one beside all")
    with atomic_folder(output_dir, (WEIGHTS, CONFIG, READING) if overwrite else None) as folder:
        if (adapters[0] / READING).is_file():
            shutil.copyfile(adapters[0] / READING, folder / READING)
        save_file(mean, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(configs[0], indent=2, sort_keys=True) + "\n")
    return output_dir


def main() -> None:
    args = make_parser().parse_args()
    adapters = [Path(each) for each in args.adapter]
    print(average(adapters, Path(args.output_dir), args.weights, args.overwrite_output_dir, args.only))


if __name__ == "__main__":
    run(main)
