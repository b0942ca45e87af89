"""Time and memory of a conversion, beside copying the file and beside the in-memory way.

    python -m benchmarks.conversion_cost --output docs/conversion.json

An XLM-R-base-sized checkpoint is made (random float32 weights of the true shapes, 1.1 GB; the embedded model's
tokenizer, which is XLM-R's). Then, each in fresh processes that take turns:
  copy       the file is copied on the same disk;
  convert    conversion.convert, without the proof;
  tokenizer  the tokenizer alone is loaded and saved, as convert does;
  in memory  both models are loaded with transformers, the weights copied over, the result saved;
  prove      conversion.convert with its proof, once.
Every time runs until the result is on the disk (fsync). Goals: convert takes at most 3 times the copy's time (missed on
a fast disk, docs/conversion.md), and at most 1.3 times the file's size in memory.

Not named conversion.py: a script's folder comes first on sys.path, where that file would hide the package from the
other benchmarks.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_bytes, processor
from foundation.cli import command_parser, run
from foundation.files import write_atomically

VOCABULARY, HIDDEN, LAYERS, FEED_FORWARD, POSITIONS = 250_002, 768, 12, 3072, 514
MAX_POS = 4096


def make_source(folder: Path) -> None:
    """XLM-R base's config, names and shapes with random values."""
    import torch
    import transformers

    from conversion.embedded import embedded_checkpoint

    config = transformers.XLMRobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=12,
        intermediate_size=FEED_FORWARD,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(0)
    transformers.XLMRobertaForMaskedLM(config).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded_checkpoint())
    tokenizer.save_pretrained(folder)


def copy(source: Path, target: Path) -> None:
    target.mkdir()
    shutil.copyfile(source / "model.safetensors", target / "model.safetensors")


def convert(source: Path, target: Path) -> None:
    from conversion.convert import convert

    convert(str(source), target, max_pos=MAX_POS, verify=False)


def tokenizer(source: Path, target: Path) -> None:
    from conversion.convert import save_tokenizer
    from conversion.source import open_source

    save_tokenizer(open_source(str(source)).tokenizer(), target, MAX_POS)


def prove(source: Path, target: Path) -> None:
    from conversion.convert import convert

    convert(str(source), target, max_pos=MAX_POS)


def in_memory(source: Path, target: Path) -> None:
    """The way of the notebooks: two models at once, their weights copied by module."""
    import torch
    import transformers

    short = transformers.AutoModelForMaskedLM.from_pretrained(source)
    config = transformers.LongformerConfig(
        **{
            key: value
            for key, value in short.config.to_dict().items()
            if key not in ("model_type", "architectures", "max_position_embeddings")
        },
        attention_window=512,
        max_position_embeddings=MAX_POS + 2,
    )
    long = transformers.LongformerForMaskedLM(config)
    state = {name.replace("roberta.", "longformer."): tensor for name, tensor in short.state_dict().items()}
    for name in [name for name in state if ".self." in name]:
        kind = name.rsplit(".", 1)[1]
        state[f"{name.removesuffix('.' + kind)}_global.{kind}"] = state[name].clone()
    table = state["longformer.embeddings.position_embeddings.weight"]
    repeated = table[2:].repeat(-(-MAX_POS // (POSITIONS - 2)), 1)[:MAX_POS]
    state["longformer.embeddings.position_embeddings.weight"] = torch.cat([table[:2], repeated])
    long.load_state_dict(state)
    long.save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(target)


WAYS = {"copy": copy, "convert": convert, "tokenizer": tokenizer, "in memory": in_memory, "prove": prove}


def measure(way: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds (imports of torch and transformers not counted) and peak bytes of this process."""
    if way != "copy":
        import torch  # noqa: F401
        import transformers

        import conversion.convert  # noqa: F401

        transformers.utils.logging.set_verbosity_error()
        transformers.AutoConfig, transformers.AutoTokenizer, transformers.LongformerForMaskedLM  # noqa: B018
    start = time.perf_counter()
    WAYS[way](source, target)
    for path in target.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": peak_bytes()}


def in_new_process(way: str, source: Path, target: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.conversion_cost", "--measure", way, str(source), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # stderr shows bars and errors
    shutil.rmtree(target)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = command_parser(
        description="Time and memory of converting an XLM-R-base-sized checkpoint.",
        example="python -m benchmarks.conversion_cost --repeats 3",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way; the median counts")
    parser.add_argument("--output", default="runs/conversion.json", help="where the figures go")
    parser.add_argument("--work_dir", help="disk to work on, 6 GB (default: the system's temporary folder)")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, source, target = arguments.measure
        print(json.dumps(measure(way, Path(source), Path(target))))
        return
    import torch

    with tempfile.TemporaryDirectory(dir=arguments.work_dir) as work:
        source, target = Path(work) / "source", Path(work) / "target"
        make_source(source)
        size = (source / "model.safetensors").stat().st_size
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for repeat in range(arguments.repeats):
            for way in WAYS if repeat == 0 else [way for way in WAYS if way != "prove"]:
                print(f"{way}, run {repeat + 1}", file=sys.stderr)
                runs[way].append(in_new_process(way, source, target))
    rows = [
        {
            "way": way,
            "runs": len(found),
            "seconds": statistics.median(one["seconds"] for one in found),
            "peak_bytes": statistics.median(one["peak_bytes"] for one in found),
        }
        for way, found in runs.items()
    ]
    threads = torch.get_num_threads()
    report: dict[str, Any] = {
        "file_bytes": size,
        "threads": threads,
        "machine": processor(),
        "rows": rows,
    }
    write_atomically(arguments.output, json.dumps(report, indent=2) + "\n")
    print(f"file: {size / 1e9:.2f} GB, {threads} threads, median of {arguments.repeats} runs\n")
    print("| way | seconds | times the copy | peak memory, GB | times the file |\n|---|---|---|---|---|")
    for row in rows:
        seconds, peak = row["seconds"], row["peak_bytes"]
        print(
            f"| {row['way']} | {seconds:.1f} | {seconds / rows[0]['seconds']:.2f} | {peak / 1e9:.2f} |"
            f" {peak / size:.2f} |"
        )


if __name__ == "__main__":
    run(main)
