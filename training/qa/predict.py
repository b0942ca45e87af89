"""Answers to many questions about documents, by one model, on one process or many.

Used by finetune.py's evaluation and by score.py; the page and the pipeline read by the same `read_windows`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from . import second_look
from .answers import Answers, Span, best_answers, window_spans
from .windows import Document, Window, Windower, collate


class Read(NamedTuple):
    """What the model made of one batch of windows.

    Args:
        spans: for each window its best spans and the score of "no answer".
        start_logits, end_logits: (windows, tokens), on the model's device.
    """

    spans: list[tuple[list[Span], float]]
    start_logits: torch.Tensor
    end_logits: torch.Tensor


@torch.inference_mode()
def read_windows(model: Any, windows: Sequence[Window], pad_token_id: int, n_best: int, max_answer_length: int) -> Read:
    """Read one batch of windows; the logits leave the model's device only where somebody takes them."""
    batch = collate(windows, model.config, pad_token_id)
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    outputs = second_look.read(model, batch, second_look.places_of(model))
    spans = window_spans(
        outputs.start_logits,
        outputs.end_logits,
        [w.prefix_length for w in windows],
        [w.document_start for w in windows],
        [w.document_length for w in windows],
        n_best,
        max_answer_length,
    )
    return Read(spans, outputs.start_logits, outputs.end_logits)


def predict(
    model: Any,
    windower: Windower,
    examples: Sequence[Mapping[str, Any]],
    *,
    batch_size: int = 8,
    n_best: int = 20,
    max_answer_length: int = 30,
    progress: bool = True,
    documents: Mapping[str, Document] | None = None,
) -> dict[str, Answers]:
    """Answer every example; a mapping from its `id`, in the order of `examples`.

    Under `accelerate launch` the batches are dealt out over the processes and every process returns the whole. A
    batch holds the same windows however many processes there are, so that the numbers do not depend on their count.

    Args:
        examples: rows with `id`, `question` and `context`.
        batch_size: windows a batch.
        documents: context to its document (`Windower.documents`), where they are at hand.
    """
    model.eval()
    documents = windower.documents(example["context"] for example in examples) if documents is None else documents
    state = PartialState()
    windows = list(_all_windows(windower, examples, documents))
    # Windows of about one length share a batch, so that there is little padding.
    order = sorted(range(len(windows)), key=lambda i: (len(windows[i][1]), i), reverse=True)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    pad = windower.tokenizer.pad_token_id
    found: list[tuple[int, tuple[list[Span], float]]] = []
    # A sharded model's forward needs every process. So all take as many turns, and some are idle in the last one.
    turns = range(state.process_index, len(batches) + state.process_index, state.num_processes)
    bar = tqdm(turns, desc="reading", unit="batch", disable=not (progress and state.is_local_main_process), leave=False)
    for number in bar:
        batch = batches[min(number, len(batches) - 1)]
        results = read_windows(model, [windows[i][1] for i in batch], pad, n_best, max_answer_length).spans
        if number < len(batches):
            found.extend(zip(batch, results, strict=True))
    if state.num_processes > 1:
        found = gather_object(found)
    by_example: dict[int, list[tuple[list[Span], float]]] = defaultdict(list)
    for index, result in sorted(found, key=lambda item: item[0]):
        by_example[windows[index][0]].append(result)
    return {
        example["id"]: best_answers(documents[example["context"]], by_example[number], n_best)
        for number, example in enumerate(examples)
    }


def _all_windows(
    windower: Windower, examples: Sequence[Mapping[str, Any]], documents: Mapping[str, Document]
) -> Iterator[tuple[int, Window]]:
    """(number of the example, window) in order."""
    for number, example in enumerate(examples):
        for window in windower.windows(example["question"], documents[example["context"]]):
            yield number, window
