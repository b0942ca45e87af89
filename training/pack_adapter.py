"""Make a trained LoRA adapter small enough to ship: half precision, scores and card beside it, nothing else.

    python -m training.pack_adapter --adapter runs/adapter --xquad runs/adapter/xquad/scores.json \\
        --made_by "accelerate launch training/finetune.py ..." --output_dir space/adapter
"""

import argparse
import json
from pathlib import Path
from typing import Any

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, read_json

LARGEST = 8_000_000  # bytes; what a repository of code can carry
CARD = """---
library_name: peft
license: mit
pipeline_tag: question-answering
base_model: intfloat/multilingual-e5-small
---

# Question-answering adapter for `{base}`

LoRA matrices of rank {rank} and the question-answering head, in float16. The base is the embedded model
(`conversion/embedded.py`), 12 layers of width 384; only with exactly those bytes do the figures below hold.

It finds the span of a document that answers a question, in the languages below and, less surely, in the others of
its vocabulary. It was trained on English questions only. It does not reason, add up or compare, and it can be wrong.

Made by

```
{made_by}
```

XQuAD, SQuAD v1.1's official metric, zero-shot (no language but English was trained), {questions}:

| language | exact match | F1 |
|---|---|---|
{rows}
"""


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Make a trained LoRA adapter small enough to ship.",
        example="python -m training.pack_adapter --adapter runs/adapter --xquad runs/adapter/xquad/scores.json "
        '--made_by "accelerate launch training/finetune.py ..." --output_dir space/adapter',
    )
    parser.add_argument("--adapter", required=True, help="output folder of finetune.py with --lora_r")
    parser.add_argument("--xquad", required=True, help="scores.json of score.py --dataset xquad on that adapter")
    parser.add_argument("--made_by", required=True, help="the command that trained it, for the card")
    parser.add_argument("--output_dir", required=True, help="folder to write")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace what is there")
    return parser


def pack(adapter: Path, xquad: dict[str, Any], made_by: str, output_dir: Path, overwrite: bool = False) -> Path:
    """Write adapter_model.safetensors (float16), adapter_config.json, scores.json and README.md to `output_dir`."""
    import torch
    from safetensors.torch import load_file, save

    check_apart(output_dir, adapter)
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise UserError(f"--adapter {str(adapter)!r} has no adapter_model.safetensors: train one with --lora_r")
    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(weights).items()}
    content = save(halves, metadata={"format": "pt"})
    if len(content) > LARGEST:
        raise UserError(f"--adapter {str(adapter)!r} takes {len(content):,} bytes, above {LARGEST:,}: lower --lora_r")
    config = read_json(adapter / "adapter_config.json", "--adapter")
    scores = {
        language: {name: round(score[name], 4) for name in ("exact_match", "f1")}
        for language, score in xquad["languages"].items()
    }
    rows = [*xquad["languages"].items(), ("average", xquad["average"])]  # rounded once
    questions = {score["questions"] for score in xquad["languages"].values()}
    card = CARD.format(
        base=config["base_model_name_or_path"],
        rank=config["r"],
        made_by=made_by,
        questions=f"{' or '.join(f'{n:,}' for n in sorted(questions))} questions a language",
        rows="\n".join(f"| {name} | {score['exact_match']:.1f} | {score['f1']:.1f} |" for name, score in rows),
    )
    with atomic_folder(output_dir, overwrite) as folder:
        (folder / "adapter_model.safetensors").write_bytes(content)
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        (folder / "scores.json").write_text(json.dumps({"xquad": scores}, indent=1) + "\n")
        (folder / "README.md").write_text(card, encoding="utf-8")
    return output_dir


def main() -> None:
    args = make_parser().parse_args()
    xquad = read_json(args.xquad, "--xquad")
    print(pack(Path(args.adapter), xquad, args.made_by, Path(args.output_dir), args.overwrite_output_dir))


if __name__ == "__main__":
    run(main)
