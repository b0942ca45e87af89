"""Make a trained LoRA adapter small enough to ship: half precision, scores and card beside it, nothing else.

    python -m training.pack_adapter --adapter runs/adapter --xquad runs/adapter/xquad/scores.json \\
        --made_by "accelerate launch training/finetune.py ..." --output_dir space/adapter
"""

import argparse
import json
from pathlib import Path
from typing import Any

from conversion.embedded import LONG_NAME, NAME
from foundation import cards
from foundation.cards import CARD, public_path
from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, read_json
from foundation.model_files import READING
from training import finetuning
from training.qa.second_look import read_places
from training.runs.origin import origin_of
from training.scoring.record import CALIBRATION, METRICS, SCORES, of_xquad, read_scores, write_scores

WRITTEN = ("adapter_model.safetensors", "adapter_config.json", READING, SCORES, CARD)
LARGEST = 8_000_000  # bytes; more is too much for a repository of code
TEMPLATE = Path(finetuning.__file__).with_name("packed_card.md.j2")


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Make a trained LoRA adapter small enough to ship.",
        example="python -m training.pack_adapter --adapter runs/adapter --xquad runs/adapter/xquad/scores.json "
        '--made_by "accelerate launch training/finetune.py ..." --output_dir space/adapter',
    )
    parser.add_argument("--adapter", required=True, help="output folder of finetune.py with --lora_r")
    parser.add_argument("--xquad", required=True, help="scores.json of score.py --dataset xquad on that adapter")
    parser.add_argument("--made_by", required=True, help="the command that trained it, for the card")
    parser.add_argument("--about", default="", help="a sentence for the card, such as what languages were trained on")
    parser.add_argument("--output_dir", required=True, help="folder to write")
    parser.add_argument(
        "--overwrite_output_dir", action="store_true", help="replace what an earlier packing wrote there"
    )
    return parser


def pack(
    adapter: Path, xquad: dict[str, Any], made_by: str, output_dir: Path, overwrite: bool = False, about: str = ""
) -> Path:
    """Write adapter_model.safetensors (float16), adapter_config.json, reading.json (where the adapter looks again),
    scores.json and README.md to `output_dir`."""
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
    if of_xquad(xquad) is None:
        raise UserError(f"--xquad is of {xquad['run']['dataset']!r}: give score.py's file of --dataset xquad")
    scores = {
        "run": {"dataset": "xquad"},
        "languages": {
            language: {"questions": score["questions"], **{name: round(score[name], 4) for name in METRICS}}
            for language, score in xquad["languages"].items()
        },
        "average": {
            "languages": len(xquad["languages"]),
            **{name: round(xquad["average"][name], 4) for name in METRICS},
        },
    }
    reading = _bytes(adapter / READING)
    places = read_places(adapter / READING) if reading is not None else 0
    calibration = _calibration_to_keep(output_dir / CALIBRATION, content, reading) if overwrite else None
    with atomic_folder(output_dir, (*WRITTEN, CALIBRATION) if overwrite else None) as folder:
        if calibration is not None:
            (folder / CALIBRATION).write_bytes(calibration)
        (folder / "adapter_model.safetensors").write_bytes(content)
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        if reading is not None:
            (folder / READING).write_bytes(reading)
        write_scores(folder, scores)
        _write_card(folder, output_dir / CARD, config, xquad, made_by, about, places)
    return output_dir


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _calibration_to_keep(path: Path, weights: bytes, reading: bytes | None) -> bytes | None:
    """no_answer.json of the same weights and the same reading, packed before; None where there is none."""
    if not path.is_file():
        return None
    for name, now, other in (
        ("adapter_model.safetensors", weights, "on other weights"),
        (READING, reading, f"with another {READING}"),
    ):
        if _bytes(path.with_name(name)) != now:
            raise UserError(
                f"--output_dir {str(path.parent)!r} holds {CALIBRATION}, which was measured {other}: move it "
                "elsewhere, pack again, and measure with benchmarks.no_answer --write_calibration"
            )
    return path.read_bytes()


def _write_card(
    folder: Path,
    before: Path,
    config: dict[str, Any],
    xquad: dict[str, Any],
    made_by: str,
    about: str,
    places: int | None,
) -> None:
    """The card: licence, languages and base model from the base's own card, scores as the Hub shows them."""
    from huggingface_hub import ModelCardData

    base = config["base_model_name_or_path"]
    results = [
        result
        for language, score in xquad["languages"].items()
        for result in cards.eval_results(
            "question-answering",
            {"type": "google/xquad", "name": "XQuAD", "config": f"xquad.{language}", "split": "validation"},
            {name: score[name] for name in ("exact_match", "f1")},
        )
    ]
    data = ModelCardData(
        library_name="peft",
        pipeline_tag="question-answering",
        base_model_relation="adapter",
        tags=["extractive-question-answering", "long-context"],
        model_name=f"adapter for {public_path(base)}",
        eval_results=results,
        **origin_of(base, config.get("revision")),
    )
    questions = sorted({score["questions"] for score in xquad["languages"].values()})
    cards.write_card(
        folder,
        data,
        TEMPLATE,
        before=before,
        base=public_path(base),
        embedded=base in (NAME, LONG_NAME),
        rank=config["r"],
        about=f"{about.strip()} " if about else "",
        made_by=made_by,
        places=places,
        questions=" or ".join(f"{n:,}" for n in questions),
        rows=[*xquad["languages"].items(), ("average", xquad["average"])],
    )


def main() -> None:
    args = make_parser().parse_args()
    xquad = read_scores(args.xquad, "--xquad")
    print(pack(Path(args.adapter), xquad, args.made_by, Path(args.output_dir), args.overwrite_output_dir, args.about))


if __name__ == "__main__":
    run(main)
