"""What the attention window costs a converted QA model inside its source's own length.

    python -m benchmarks.window_cost --data_dir data/xquad
    python -m benchmarks.window_cost --model_name_or_path qa-512 --data_dir data/xquad

With the usual window of 512 a token of the long model sees 256 tokens to each side, so inputs of more than half a
window are not read as the source reads them. A QA model that reads 512 tokens is converted with each window and answers
what the source answers: XQuAD's questions about one paragraph, where both together have `--shortest` to 512 tokens.
Counted are the answers that stay the same, and both scores. A window of twice the source's length loses nothing; its
price is the time of a forward pass at 4,096 tokens: the windows take turns, and the median of the ratios counts.
Without --model_name_or_path the model is the embedded one with the weights of the shipped adapter, but for those of the
question's global attention, which a BERT has not: it was not trained to read so, and the scores say what it can.
Beside it: how far the hidden states of one text lie apart, cut at half the source's length, at 300 tokens and whole.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import processor
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

LONG = 4096


def short_reader(folder: Path) -> Path:
    """A BERT of 512 tokens with the shipped adapter's weights; written to `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

    from conversion.named import resolve
    from space.reader import ADAPTER
    from training.qa.model import load_qa_model

    long, _ = load_qa_model(str(ADAPTER))
    config = AutoConfig.from_pretrained(resolve("embedded"), document_token_type=long.config.document_token_type)
    short = AutoModelForQuestionAnswering.from_config(config, dtype=torch.float32)
    tensors = {name.replace("longformer.", "bert."): tensor for name, tensor in long.state_dict().items()}
    tensors = {name: tensor for name, tensor in tensors.items() if "_global." not in name}
    positions = "bert.embeddings.position_embeddings.weight"
    first = long.config.pad_token_id + 1
    tensors[positions] = tensors[positions][first : first + config.max_position_embeddings]
    short.load_state_dict(tensors)
    short.save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve("embedded")).save_pretrained(folder)
    return folder


def rows_by_length(
    data_dir: str, languages: Sequence[str], questions: int | None, tokenizer: Any, shortest: int, longest: int
) -> dict[str, Any]:
    """Language -> rows of XQuAD, one paragraph each, that have `shortest` to `longest` tokens with the question; of
    those `questions`, evenly spread."""
    from hub_datasets.concat import ConcatOptions
    from training.corpora.load import evenly, load_qa

    found = {}
    options = ConcatOptions(nr_concats=1, questions="all")
    for language in languages:
        rows = load_qa("xquad", "validation", data_dir=data_dir, language=language, options=options)
        texts = list(rows["question"]), list(rows["context"])
        lengths = [len(ids) for ids in tokenizer(*texts, verbose=False)["input_ids"]]
        fitting = rows.select([i for i, length in enumerate(lengths) if shortest <= length <= longest])
        found[language] = evenly(fitting, questions)
    return found


def answers(model: Any, tokenizer: Any, rows: Any, longest: int) -> dict[str, str]:
    """Question id -> the model's answer; every row fits one input."""
    from training.qa.predict import predict
    from training.qa.windows import Windower

    windower = Windower(tokenizer, longest, doc_stride=0, max_question_length=longest // 2)
    return {key: answer.text() for key, answer in predict(model, windower, rows).items()}


def distances(source: Any, long: Any, tokenizer: Any, text: str, lengths: tuple[int, ...]) -> dict[int, list[float]]:
    """Tokens of `text` -> the largest difference of the last hidden states, and the cosine of their means."""
    import torch

    found = {}
    for length in lengths:
        ids = tokenizer(text, truncation=True, max_length=length, return_tensors="pt", verbose=False)["input_ids"]
        with torch.inference_mode():
            a, b = (model.base_model(input_ids=ids).last_hidden_state[0] for model in (source, long))
        found[ids.shape[1]] = [(a - b).abs().max().item(), torch.cosine_similarity(a.mean(0), b.mean(0), 0).item()]
    return found


def seconds(model: Any, tokenizer: Any) -> float:
    """One forward pass of `LONG` tokens, 16 of them global."""
    import torch

    ids = torch.arange(LONG)[None] % 1000 + 10
    mask = torch.zeros_like(ids)
    mask[:, :16] = 1
    with torch.inference_mode():
        start = time.perf_counter()
        model(input_ids=ids, attention_mask=torch.ones_like(ids), global_attention_mask=mask)
        return time.perf_counter() - start


def measure(
    source: Any, models: dict[int, Any], tokenizer: Any, languages: dict[str, Any], longest: int, repeats: int
) -> list[dict[str, Any]]:
    """A row for the source and one for each window.

    Args:
        models: window -> the converted model.
        languages: language -> rows of at most `longest` tokens.
        repeats: turns of the forward pass.
    """
    from training.scoring.metrics import score

    found = {}
    for name, model in {"source": source, **models}.items():
        print(f"reading: {name}", file=sys.stderr)
        found[name] = {code: answers(model, tokenizer, rows, longest) for code, rows in languages.items()}
    times: dict[Any, list[float]] = {window: [] for window in models}
    for _ in range(repeats):
        for window, model in models.items():
            times[window].append(seconds(model, tokenizer))
    first = next(iter(times.values()))
    text = " ".join(dict.fromkeys(next(iter(languages.values()))["context"]))
    table = []
    for name, by_language in found.items():
        pairs = [(text, found["source"][code][key]) for code, all_ in by_language.items() for key, text in all_.items()]
        scores = [score("squad", rows, by_language[code]) for code, rows in languages.items() if len(rows)]
        total = sum(one["total"] for one in scores)
        row = {"model": str(name), "questions": total, "same": sum(a == b for a, b in pairs)}
        row |= {key: sum(one[key] * one["total"] for one in scores) / total for key in ("exact_match", "f1")}
        if name in times:
            row["times_first"] = statistics.median(a / b for a, b in zip(times[name], first, strict=True))
            row["distances"] = distances(source, models[name], tokenizer, text, (longest // 2, 300, longest))
        table.append(row)
    return table


def main() -> None:
    parser = command_parser(
        description="What the attention window costs a converted QA model inside its source's own length.",
        example="python -m benchmarks.window_cost --data_dir data/xquad --languages en,de --questions 100",
    )
    parser.add_argument("--model_name_or_path", help="a QA model of 512 tokens that can be converted, if not ours")
    parser.add_argument("--data_dir", required=True, help="folder of XQuAD's official files")
    parser.add_argument("--languages", default="en,de,es,ru,ar,hi,zh,vi", help="of XQuAD, with commas")
    parser.add_argument("--windows", type=int, nargs="+", default=[512, 1024], help="attention windows to convert with")
    parser.add_argument("--questions", type=int, help="of each language, evenly spread; all if not given")
    parser.add_argument("--shortest", type=int, default=257, help="tokens of question and paragraph, at least")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the forward pass")
    parser.add_argument("--output", default="runs/window_cost.json", help="where the figures go")
    arguments = parser.parse_args()
    from conversion.convert import convert
    from training.qa.model import load_qa_model, reads_at_most

    with tempfile.TemporaryDirectory() as work:
        given = arguments.model_name_or_path or str(short_reader(Path(work) / "short"))
        source, tokenizer = load_qa_model(given)
        longest = reads_at_most(source)
        languages = rows_by_length(
            arguments.data_dir,
            arguments.languages.split(","),
            arguments.questions,
            tokenizer,
            arguments.shortest,
            longest,
        )
        if not any(map(len, languages.values())):
            raise UserError(
                f"--shortest {arguments.shortest} leaves no question of at most {longest} tokens: give less"
            )
        models = {}
        for window in arguments.windows:
            folder = convert(given, Path(work) / str(window), attention_window=window, max_pos=LONG, verify=False)
            models[window] = load_qa_model(str(folder))[0]
        table = measure(source, models, tokenizer, languages, longest, arguments.repeats)
    report = {"machine": processor(), "arguments": vars(arguments), "rows": table}
    write_atomically(arguments.output, json.dumps(report, indent=2) + "\n")
    print("| window | same answers | exact match | F1 | time at 4,096 tokens |\n|---|---|---|---|---|")
    for row in table:
        price = f"{row['times_first']:.2f}" if "times_first" in row else ""
        same = f"{row['same']:,} of {row['questions']:,}"
        print(f"| {row['model']} | {same} | {row['exact_match']:.1f} | {row['f1']:.1f} | {price} |")
    print("\n| window | tokens | largest difference of a hidden state | cosine of the means |\n|---|---|---|---|")
    for row in table:
        for length, (difference, cosine) in row.get("distances", {}).items():
            print(f"| {row['model']} | {length} | {difference:.1e} | {cosine:.4f} |")


if __name__ == "__main__":
    run(main)
