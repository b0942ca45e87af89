"""From rows to training windows: as many processes as asked for, the same windows."""

import pickle
from types import SimpleNamespace

from datasets import Dataset

from training.finetuning import rows as finetune_data
from training.qa.windows import Windower

from . import qa_tiny

ARGUMENTS = {
    "dataset": "file", "long_fraction": 0.5, "max_paragraphs": 4, "same_article": 0.5, "unanswerable_fraction": 0.2,
    "documents_per_question": 2, "negatives": 1,
}  # fmt: skip


def features(num_proc: int) -> list[dict]:
    arguments = SimpleNamespace(**ARGUMENTS, num_proc=num_proc)
    windower = Windower(qa_tiny.tokenizer(), 48, 12)
    made = finetune_data.make_features(arguments, SimpleNamespace(seed=5), windower, Dataset.from_list(qa_tiny.rows()))
    return list(made)


def test_two_processes_make_the_windows_of_one(monkeypatch):
    monkeypatch.setattr(finetune_data, "CHUNK", 1000)
    whole = features(1)
    assert len(whole) > len(qa_tiny.rows())
    monkeypatch.setattr(finetune_data, "CHUNK", 7)
    assert features(1) == whole
    assert features(2) == whole


def test_a_windower_travels_to_another_process():
    here = Windower(qa_tiny.tokenizer(), 32, 8, 5, lowercase=True)
    there = pickle.loads(pickle.dumps(here))
    text = "Long TEXTS meet short ones where the river runs over älvar. " * 3
    ours, theirs = ([w.input_ids.tolist() for w in x.windows("Over what?", x.document(text))] for x in (here, there))
    assert len(ours) > 1 and ours == theirs
