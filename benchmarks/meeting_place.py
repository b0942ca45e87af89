"""Where can two places of a document meet? What a reader learns of `terms`, by which tokens have global attention.

    python -m benchmarks.meeting_place --see places --output runs/meeting/places.json
    python -m benchmarks.meeting_place --see question --output runs/meeting/question.json
    python -m benchmarks.meeting_place --see document --train_only _global --save runs/bare

A party's definition and its duty are wider apart than the window (--reach), so that only global tokens bring them
together: the question's alone, those of each sentence's first token too, those of the places where an answer may stand
(the duties), or all of the document, as in a second reading (`training/qa/second_look.py`). Documents begin as the bare
sentences of `terms`, English, 2 to 4 parties; whenever four in five of an update are right, they get more sentences of
real text between them. Every --every steps 64 held-back documents of 4 parties are asked. Writes OUTPUT.json, and with
--save the adapter.
"""

import argparse
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import processor
from foundation.cli import command_parser, run
from foundation.files import write_atomically

PARTIES = (2, 3, 4)
WAYS = ("question", "sentences", "places", "document")
UPDATE, HELD_BACK = 16, 64
LOOKS = (0, 100, 300)  # tokens of real text in the held-back documents


class Document(NamedTuple):
    """A window, its gold span, and the spans of its duties and of all its sentences, in tokens of the window."""

    window: Any
    gold: tuple[int, int]
    duties: list[tuple[int, int]]
    sentences: list[tuple[int, int]]


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        description="What a reader learns of terms, by which tokens have global attention.",
        example="python -m benchmarks.meeting_place --see places",
    )
    parser.add_argument("--model_name_or_path", default="space/adapter", help="adapter that is trained further")
    parser.add_argument("--see", default="places", choices=WAYS, help="what sees the document beside the question")
    parser.add_argument("--train_only", help="train only parameters whose names have this in them")
    parser.add_argument("--background", default="data/squad/train-v1.1-first44articles.json", help="text of training")
    parser.add_argument("--held_back", default="data/xquad/xquad.en.json", help="text of the held-back documents")
    parser.add_argument("--reach", type=int, default=16, help="tokens to either side that a token sees")
    parser.add_argument("--filler", type=int, default=0, help="tokens of real text between the sentences, at first")
    parser.add_argument("--grow", type=int, default=0, help="more of them whenever four in five are right")
    parser.add_argument("--steps", type=int, default=90, help=f"updates of {UPDATE} documents")
    parser.add_argument("--every", type=int, default=30, help="steps from one look at the held-back documents on")
    parser.add_argument("--learning_rate", type=float, default=6e-4, help="AdamW's, after 10 steps of warm-up")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--save", type=Path, help="folder for the trained adapter")
    parser.add_argument("--output", type=Path, default=Path("runs/meeting.json"), help="the figures")
    return parser


class Maker:
    """Documents out of `terms`' rows: their own sentences, and as much of the real text as is wanted."""

    def __init__(self, split: str, background: str, windower: Any, seed: int, rows: int):
        import hub_datasets

        self.windower = windower
        content = json.loads(Path(background).read_text(encoding="utf-8"))["data"]
        self.real = {paragraph["context"] for article in content for paragraph in article["paragraphs"]}
        options = {"split": split, "tokens": 450, "rows": rows, "seed": seed, "background": background}
        self.rows = {p: hub_datasets.load_dataset("terms", "en", parties=p, **options) for p in PARTIES}

    def __call__(self, number: int, parties: int, filler: int, rng: random.Random) -> Document:
        row = self.rows[parties][number % len(self.rows[parties])]
        parts = row["context"].split("\n\n")
        kept = [part for part in parts if part not in self.real]
        text = [each for part in parts if part in self.real for each in re.split(r"(?<=[.!?])\s+", part)]
        rng.shuffle(text)
        while text and sum(map(len, text)) > 4 * filler:  # about four characters a token
            text.pop()
        # Definitions in the first third of the real text, duties in the last, as `terms` has them.
        third = len(text) // 3
        places = sorted(rng.randint(0, third) for _ in kept[:-parties])
        places += sorted(rng.randint(len(text) - third, len(text)) for _ in range(parties))
        order: list[str] = []
        for place in range(len(text) + 1):
            order += [sentence for at, sentence in zip(places, kept, strict=True) if at == place]
            order += text[place : place + 1]
        spans, start = {}, 0
        for sentence in order:
            spans[sentence] = (start, start + len(sentence))
            start += len(sentence) + 1
        answer = row["answers"]["text"][0]
        asked = row["context"][row["evidence"]["start"][-1] : row["evidence"]["end"][-1]]
        at = spans[asked][0] + asked.index(answer)
        return self._document(row["question"], "\n".join(order), (at, at + len(answer)), kept[-parties:], spans)

    def _document(self, question: str, text: str, gold: Any, duties: list[str], spans: dict[str, Any]) -> Document:
        from training.qa.windows import token_span

        document = self.windower.document(text)
        window = next(self.windower.windows(question, document))

        def tokens(span: tuple[int, int]) -> tuple[int, int]:
            found = token_span(document, *span)
            assert found is not None, "every sentence has tokens"
            return found[0] + window.prefix_length, found[1] + window.prefix_length

        every = [tokens(span) for span in spans.values()]
        return Document(window, tokens(gold), [tokens(spans[duty]) for duty in duties], every)


def read(model: Any, documents: list[Document], see: str, pad: int) -> tuple[Any, list[bool]]:
    """The model's output, and which documents' best span is the gold one."""
    import torch

    from training.qa.answers import window_spans
    from training.qa.windows import collate

    windows = [document.window for document in documents]
    batch = collate(windows, model.config, pad)
    if see == "document":
        batch["global_attention_mask"] = batch["attention_mask"].clone()
    for row, document in zip(batch["global_attention_mask"], documents, strict=True):
        for first, last in document.duties if see == "places" else document.sentences if see == "sentences" else ():
            row[first : (last if see == "places" else first) + 1] = 1
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    with torch.autocast(model.device.type, torch.bfloat16):
        outputs = model(**batch)
    lengths = [[getattr(w, name) for w in windows] for name in ("prefix_length", "document_start", "document_length")]
    best = window_spans(outputs.start_logits.detach(), outputs.end_logits.detach(), *lengths, n_best=1)
    found = [(spans[0].start + w.prefix_length, spans[0].end + w.prefix_length)
             for (spans, _), w in zip(best, windows, strict=True)]  # fmt: skip
    return outputs, [place == document.gold for place, document in zip(found, documents, strict=True)]


def update(model: Any, documents: list[Document], see: str, pad: int, optimizer: Any) -> tuple[float, float]:
    """One step on the documents, in halves of about one length; loss and share of right answers."""
    import torch

    from training.finetuning.batches import span_loss

    documents = sorted(documents, key=lambda document: len(document.window))
    loss, right = 0.0, []
    model.train()
    for half in (documents[: UPDATE // 2], documents[UPDATE // 2 :]):
        outputs, found = read(model, half, see, pad)
        every = torch.arange(outputs.start_logits.shape[1])
        first = torch.tensor([d.window.prefix_length for d in half])[:, None]
        behind = first + torch.tensor([d.window.document_length for d in half])[:, None]
        allowed = ((every >= first) & (every < behind)) | (every == 0)
        gold = torch.tensor([d.gold for d in half])
        targets = [tensor.to(model.device) for tensor in (gold[:, :1], gold[:, 1:], allowed)]
        error = span_loss(outputs, *targets) / 2
        error.backward()
        loss += error.item()
        right += found
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss, sum(right) / len(right)


def main() -> None:
    args = make_parser().parse_args()
    import torch

    from training.qa.model import freeze_all_but, load_qa_model
    from training.qa.windows import Windower

    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    model, tokenizer = load_qa_model(args.model_name_or_path, train_adapter=True, dropout=0.0)
    if args.train_only:
        freeze_all_but(model, args.train_only)
    if torch.accelerator.is_available():
        model.to(torch.accelerator.current_accelerator())
    for module in model.modules():
        if hasattr(module, "one_sided_attn_window_size"):
            module.one_sided_attn_window_size = args.reach
    windower, pad = Windower(tokenizer, 1024, 0), tokenizer.pad_token_id
    train = Maker("train", args.background, windower, args.seed + 1, UPDATE * args.steps // len(PARTIES) + 1)
    test = Maker("validation", args.held_back, windower, args.seed + 1, HELD_BACK)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], weight_decay=0.0)
    steps: list[dict[str, float]] = []
    held_back: dict[int, dict[str, float]] = {}
    filler, started = args.filler, time.perf_counter()
    for step in range(1, args.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = args.learning_rate * min(1, step / 10)
        numbers = range((step - 1) * UPDATE, step * UPDATE)
        documents = [train(n // len(PARTIES), PARTIES[n % len(PARTIES)], rng.randint(0, filler), rng) for n in numbers]
        loss, right = update(model, documents, args.see, pad, optimizer)
        steps.append({"loss": round(loss, 4), "right": round(100 * right, 1), "filler": filler})
        filler += args.grow if right >= 0.8 else 0
        if step % 10 == 0:
            mean = [sum(s[name] for s in steps[-10:]) / 10 for name in ("loss", "right")]
            took = time.perf_counter() - started
            print(
                f"{step:4d}  loss {mean[0]:.2f}  right {mean[1]:.0f}%  filler {filler}  {took:.0f} s", file=sys.stderr
            )
        if step % args.every == 0 or step == args.steps:
            model.eval()
            held_back[step] = {}
            for tokens in LOOKS if args.grow else LOOKS[:1]:
                asked = [test(n, PARTIES[-1], tokens, random.Random(n)) for n in range(HELD_BACK)]
                with torch.no_grad():
                    found = [
                        yes
                        for at in range(0, HELD_BACK, 8)
                        for yes in read(model, asked[at : at + 8], args.see, pad)[1]
                    ]
                held_back[step][str(tokens)] = round(100 * sum(found) / len(found), 1)
            print(f"      held back, by tokens of real text: {held_back[step]}", file=sys.stderr)
    if args.save is not None:
        model.save_pretrained(args.save)
    setting = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    result = {"setting": setting, "processor": processor(), "held_back": held_back, "steps": steps}
    write_atomically(args.output, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
