"""From rows to training windows: as many processes as asked for, the same windows, made once for all of them."""

import pickle
from types import SimpleNamespace

import pytest
from datasets import Dataset

from foundation.cli import UserError
from training.finetuning import windows as finetuning_windows
from training.finetuning.rows import _split_articles
from training.qa.windows import Windower

from . import qa_tiny

ARGUMENTS = {
    "dataset": "file", "long_fraction": 0.5, "max_paragraphs": 4, "same_article": 0.5, "unanswerable_fraction": 0.2,
    "documents_per_question": 2, "negatives": 1, "num_proc": 1, "cross_language": 0.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return tmp_path / "training_windows"


def made(rows=None, max_length=48, seed=5, **changed) -> list[dict]:
    arguments = SimpleNamespace(**{**ARGUMENTS, **changed})
    windower = Windower(qa_tiny.tokenizer(), max_length, 12)
    data = Dataset.from_list(rows or qa_tiny.rows())
    windows = finetuning_windows.make_windows(arguments, SimpleNamespace(seed=seed), windower, data)
    return [windows[0, number] for number in range(len(windows))]


def test_two_processes_make_the_windows_of_one(monkeypatch, tmp_path):
    monkeypatch.setattr(finetuning_windows, "CHUNK", 1000)
    whole = made()
    assert len(whole) > len(qa_tiny.rows())
    monkeypatch.setattr(finetuning_windows, "CHUNK", 7)
    for num_proc in (1, 2):
        monkeypatch.setenv("HF_HOME", str(tmp_path / str(num_proc)))
        assert made(num_proc=num_proc) == whole


def test_what_is_made_is_found_again_by_its_content(cache, monkeypatch):
    first = made()
    monkeypatch.setattr(finetuning_windows, "train_features", None)  # any attempt to make windows fails
    assert made() == first and made(num_proc=2) == first and len(list(cache.iterdir())) == 1
    changed = qa_tiny.rows()
    changed[-1]["question"] += "?"
    for other in ({"rows": changed}, {"seed": 6}, {"max_length": 47}, {"negatives": 0}, {"unanswerable_fraction": 0.3}):
        with pytest.raises(TypeError):
            made(**other)


def test_what_was_cut_short_is_made_anew(cache):
    first = made()
    (folder,) = cache.iterdir()
    (folder / "windows.json").unlink()
    (folder / "windows.arrow").write_bytes(b"half of it")
    assert made() == first


def test_rows_without_a_window_leave_nothing(cache):
    rows = [{**row, "answers": {"text": [""], "answer_start": [0]}} for row in qa_tiny.rows()]
    for _ in range(2):
        with pytest.raises(UserError, match="no training window could be made"):
            made(rows, long_fraction=0, unanswerable_fraction=0, negatives=0)


def test_a_windower_travels_to_another_process():
    here = Windower(qa_tiny.tokenizer(), 32, 8, 5, lowercase=True)
    there = pickle.loads(pickle.dumps(here))
    text = "Long TEXTS meet short ones where the river runs over älvar. " * 3
    ours, others = ([w.input_ids.tolist() for w in x.windows("Over what?", x.document(text))] for x in (here, there))
    assert len(ours) > 1 and ours == others


def test_an_article_is_held_out_with_its_translations():
    english = qa_tiny.rows()
    german = [{**row, "title": f"Artikel {row['title'][-1]}", "context": "Wasser " + row["context"]} for row in english]
    other = [{**row, "id": f"x-{row['id']}", "title": f"sida {row['title'][-1]}"} for row in english]
    train, held_out = _split_articles(Dataset.from_list(english + german), 1)
    assert set(held_out["title"]) == {"article 3", "Artikel 3"} and not set(train["id"]) & set(held_out["id"])
    train, held_out = _split_articles(Dataset.from_list(english + other), 1)
    assert set(held_out["title"]) == {"sida 3"} and len(train) + len(held_out) == 2 * len(english)
    with pytest.raises(UserError, match="leaves none of the 4 articles"):
        _split_articles(Dataset.from_list(english + german), 4)
