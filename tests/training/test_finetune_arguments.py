"""Flags of finetune.py that would be passed over without a word."""

import re

import pytest
from transformers import TrainingArguments

from foundation.cli import UserError
from training.finetuning.arguments import FinetuneArguments


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qa").mkdir()
    for name in ("a.json", "qa/wikipedia-train.json"):
        (tmp_path / name).touch()


@pytest.fixture(scope="module")
def training_args(tmp_path_factory) -> TrainingArguments:
    return TrainingArguments(str(tmp_path_factory.mktemp("out")), use_cpu=True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"distil_weight": 2.0}, "--distil_weight 2.0 is of the distillation: give --distil_length too"),
        ({"distil_part": "document"}, "--distil_part document is of the distillation: give --distil_length too"),
        (
            {"documents_per_question": 2},
            "--documents_per_question 2 would draw the same document each time: give --long",
        ),
        ({"lora_dropout": 0.1}, "--lora_dropout 0.1 is of a new adapter: give --lora_r too"),
        ({"dataset": ["org/x"], "data_dir": "data"}, "--data_dir 'data' is for official files, and 'org/x' is read"),
        ({"dataset": ["sample"], "data_dir": "data"}, "--data_dir 'data' is for official files, and 'sample' is read"),
        ({"data_files": ["a.json"], "data_dir": "data"}, "'a.json' is read from elsewhere: leave --data_dir out"),
        ({"held_out_articles": 2, "eval_language": "de"}, "--eval_language 'de' has no part in --held_out_articles"),
    ],
)
def test_what_would_be_ignored_is_refused(training_args, given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        FinetuneArguments(**given).check(training_args)


@pytest.mark.parametrize(
    "given",
    [
        {"distil_length": 512, "distil_weight": 2.0, "distil_part": "document"},
        {"documents_per_question": 2, "long_fraction": 0.5},
        {"dataset": ["sample"], "eval_dataset": "xquad", "data_dir": "data"},
        {"dataset": ["squad"], "eval_dataset": "org/x", "data_dir": "data"},
        {"dataset": ["trivia_qa"], "data_files": ["qa/wikipedia-train.json"], "data_dir": "data"},
        {"held_out_articles": 2, "eval_language": "de", "eval_dataset": "xquad"},
    ],
)
def test_what_one_of_two_data_sets_takes_is_not(training_args, given: dict) -> None:
    FinetuneArguments(**given).check(training_args)
