"""What a pre-training step costs, ours against the notebook's way, and what a corpus costs in memory.

    python -m benchmarks.pretraining step                                 # 4,096 tokens, XLM-R's vocabulary and width
    python -m benchmarks.pretraining step --layers 4 --vocab_size 50265 --output roberta.json   # RoBERTa's vocabulary
    python -m benchmarks.pretraining corpus --text wiki.test.raw --megabytes 10 100 1000

step     A whole optimizer step (forward, backward, AdamW) in float32 with dropout, batch 1, each way in a process of
         its own: `notebook` is transformers' LongformerForMaskedLM (native attention, logits of every position), `ours`
         the same weights with the fast attention and the masked-only loss. Seconds are medians; memory is the peak of
         the whole process, torch included, and with --device cuda of the card. Both losses are printed: before the
         first step they are the same number.
corpus   Packs and then reads, masked and in random order, texts of growing size (the given text over and over, in
         shuffled paragraphs), with a tokenizer of 8,000 whole words (fast, so that a GB
         takes minutes): growth of resident memory over the process as it was with a model loaded.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_bytes, processor
from foundation.cli import UserError, command_parser, run
from foundation.files import read_json, write_atomically

WAYS = ("notebook", "ours")


@dataclass(frozen=True)
class Step:
    """What is measured by `step`: a model's sizes, a sequence's length, how many steps, and where."""

    vocab_size: int
    width: int
    layers: int
    length: int
    steps: int
    threads: int
    device: str


def main() -> None:
    """Run one mode in child processes and print its table."""
    args = parse_args()
    measured = Step(*(getattr(args, field.name) for field in fields(Step)))
    if args.child and args.mode == "step":
        print(json.dumps(step_child(args.child, measured)))
        return
    if args.child:
        print(json.dumps(corpus_child(int(args.child), args.text, args.layers, args.length, args.num_proc)))
        return
    figures = step(measured) if args.mode == "step" else corpus(args.megabytes)
    setting = {"cpu": processor(), **{k: getattr(args, k) for k in ("threads", "device", "layers", "width", "length")}}
    kept = read_json(args.output, "--output", dict) if args.output.exists() else {}
    if args.mode == "corpus":  # keep the other sizes: a large corpus may be measured by itself
        figures = {**kept.get("corpus", {}).get("figures", {}), **figures}
    kept[args.mode] = {"setting": setting, "figures": figures}
    if args.mode == "step":
        kept[args.mode]["vocab_size"] = args.vocab_size
    write_atomically(args.output, json.dumps(kept, indent=2) + "\n")


def parse_args() -> argparse.Namespace:
    parser = command_parser(
        description=str(__doc__).split("\n")[0], example="python -m benchmarks.pretraining step --layers 2"
    )
    parser.add_argument("mode", choices=("step", "corpus"), help="what to measure")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a sequence")
    parser.add_argument("--layers", type=int, default=2, help="layers of the model (step)")
    parser.add_argument("--width", type=int, default=768, help="hidden size; 12 heads, feed-forward of four widths")
    parser.add_argument("--vocab_size", type=int, default=250_002, help="words of the vocabulary (step)")
    parser.add_argument("--steps", type=int, default=2, help="measured steps, after one to warm up")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where a step runs; on cuda by bf16 autocast"
    )
    parser.add_argument("--text", type=Path, help="raw text that corpus repeats")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000], help="sizes of the corpus")
    parser.add_argument("--num_proc", type=int, default=1, help="processes that pack (corpus)")
    parser.add_argument("--output", type=Path, default=Path("runs/pretraining.json"), help="the figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # the one way or size that this process measures
    args = parser.parse_args()
    if args.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("--device cuda: torch finds no such device here; leave it out to measure on the CPU")
    if args.mode == "corpus" and not args.text:
        parser.error("corpus needs --text, for example wiki.test.raw")
    return args


def _child(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pretraining", *sys.argv[1:], "--child", name],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def peak_megabytes() -> float:
    return peak_bytes() / 2**20


def check_memory(vocab_size: int, width: int, layers: int, length: int) -> None:
    """Refuse a machine on which the notebook's way would not fit: its logits, their log-softmax and its gradient."""
    parameters = vocab_size * width + layers * 15 * width**2
    needed = 16 * parameters + 3 * 4 * length * vocab_size + 2**30
    available = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    if available < needed:
        raise UserError(
            f"the notebook's way needs about {needed / 2**30:.0f} GB and {available / 2**30:.0f} GB are free: close "
            "other programs, or give a smaller --length or --vocab_size"
        )


def step(of: Step) -> dict[str, Any]:
    if of.device == "cpu":
        check_memory(of.vocab_size, of.width, of.layers, of.length)
    figures = {way: _child(way) for way in WAYS}
    notebook, ours = (figures[way] for way in WAYS)
    print(f"{of.length} tokens, {of.layers} layers of {of.width}, {of.vocab_size} words, {of.threads} threads")
    print(f"{'':10}{'s a step':>10}{'peak MB':>10}{'loss':>12}")
    for way, figure in figures.items():
        print(f"{way:10}{figure['seconds']:10.2f}{figure['peak_mb']:10.0f}{figure['first_loss']:12.6f}")
    figures["speed"] = notebook["seconds"] / ours["seconds"]
    figures["memory"] = ours["peak_mb"] / notebook["peak_mb"]
    print(f"ours is {figures['speed']:.2f} times as fast, in {figures['memory']:.2f} of the memory")
    return figures


def step_child(way: str, of: Step) -> dict[str, Any]:
    import torch
    import transformers

    from conversion.attention import use_fast_attention
    from training.pretraining.loss import LongformerForMaskedLM
    from training.pretraining.trainer import freeze_global_projections

    torch.set_num_threads(of.threads)
    torch.manual_seed(0)
    config = transformers.LongformerConfig(
        vocab_size=of.vocab_size,
        hidden_size=of.width,
        intermediate_size=4 * of.width,
        num_hidden_layers=of.layers,
        attention_window=512,
        max_position_embeddings=of.length + 2,
        type_vocab_size=1,
        pad_token_id=1,
    )
    if way == "notebook":
        model = transformers.LongformerForMaskedLM(config)
    else:
        model = use_fast_attention(LongformerForMaskedLM(config))
    freeze_global_projections(model.to(of.device))
    input_ids = torch.randint(5, of.vocab_size, (1, of.length))
    labels = torch.where(torch.rand(input_ids.shape) < 0.15, input_ids, -100)
    batch = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}
    batch = {name: tensor.to(of.device) for name, tensor in batch.items()}
    autocast = torch.autocast(of.device, torch.bfloat16, enabled=of.device == "cuda")
    with torch.no_grad(), autocast:
        first_loss = model.eval()(**batch).loss.item()
    optimizer = torch.optim.AdamW([p for p in model.train().parameters() if p.requires_grad], lr=3e-5)
    seconds = []
    for number in range(of.steps + 1):
        start = time.perf_counter()
        with autocast:
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if of.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        print(f"{way}: step {number}, {seconds[-1]:.2f} s", file=sys.stderr)
    peak = torch.cuda.max_memory_allocated() / 2**20 if of.device == "cuda" else peak_megabytes()
    return {"seconds": statistics.median(seconds[1:]), "peak_mb": peak, "first_loss": first_loss}


def corpus(sizes: Sequence[int]) -> dict[str, Any]:
    figures = {}
    print(
        f"{'text MB':>8}{'sequences':>11}{'MB/s packed':>13}{'grown packing, MB':>19}{'grown reading, MB':>19}"
        f"{'peak of a worker':>18}"
    )
    for megabytes in sizes:
        figure = figures[str(megabytes)] = _child(str(megabytes))
        print(
            f"{megabytes:8}{figure['sequences']:11}{figure['mb_per_s']:13.1f}"
            f"{figure['grown_packing']:19.0f}{figure['grown_reading']:19.0f}{figure['worker_peak']:18.0f}",
            flush=True,
        )
    return figures


def corpus_child(megabytes: int, raw: Path, layers: int, length: int, num_proc: int) -> dict[str, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LongformerConfig, LongformerForMaskedLM, PreTrainedTokenizerFast

    from training.pretraining.masking import Masker
    from training.pretraining.packing import pack
    from training.pretraining.source import TextFile
    from training.runs.order import EpochSampler

    paragraphs = raw.read_text(encoding="utf-8").split("\n")
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.train_from_iterator(
        paragraphs, trainers.WordLevelTrainer(vocab_size=8000, special_tokens=specials, show_progress=False)
    )
    roles = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), specials, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **roles)
    model = LongformerForMaskedLM(
        LongformerConfig(vocab_size=8000, num_hidden_layers=layers, pad_token_id=1, max_position_embeddings=514)
    )
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.raw"
        size = _write_corpus(text, paragraphs, megabytes * 1_000_000)
        with torch.no_grad():
            model(torch.zeros(1, 512, dtype=torch.long))
        before = peak_megabytes()
        start = time.perf_counter()
        packed = pack(TextFile(str(text)), tokenizer, length, Path(folder) / "packed", num_proc=num_proc)
        seconds = time.perf_counter() - start
        after_packing = peak_megabytes()
        masker = Masker(tokenizer, seed=0)
        for index in EpochSampler(len(packed), seed=0, multiple=1):
            masker([packed[index]])
        return {
            "sequences": len(packed),
            "mb_per_s": size / 1e6 / seconds,
            "grown_packing": after_packing - before,
            "worker_peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 if num_proc > 1 else 0.0,
            "grown_reading": peak_megabytes() - before,
        }


def _write_corpus(path: Path, paragraphs: list[str], size: int) -> int:
    rng = random.Random(0)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            for paragraph in rng.sample(paragraphs, len(paragraphs)):
                written += file.write(paragraph + "\n")
                if written >= size:
                    break
    return written


if __name__ == "__main__":
    run(main)
