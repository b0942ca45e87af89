"""The order of training windows: every window, whole updates, one length a batch, and the same on any split."""

from collections import Counter

import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import TrainingArguments

from training.finetuning.trainer import POOL, LengthMixedSampler, QATrainer
from training.qa.windows import Windower

from . import qa_tiny


@pytest.mark.parametrize(("windows", "size"), [(23, 24), (24, 24), (3, 16), (1000, 1004)])
def test_every_window_comes_and_some_once_more(windows, size):
    sampler = LengthMixedSampler(list(range(windows)), size, batch_size=4, seed=7)
    drawn = Counter(sampler)
    assert len(sampler) == sum(drawn.values()) == size
    assert set(drawn) == set(range(windows)) and max(drawn.values()) - min(drawn.values()) <= 1


def test_a_batch_holds_one_length_and_batches_come_in_any_order():
    lengths = [10, 200, 3000, 40] * (POOL * 3)
    order = list(LengthMixedSampler(lengths, len(lengths), batch_size=4, seed=0))
    batches = [{lengths[place] for place in order[at : at + 4]} for at in range(0, len(order), 4)]
    assert sum(len(batch) == 1 for batch in batches) > 0.9 * len(batches)
    for at in range(0, len(batches), POOL):  # all lengths throughout, not long ones first
        assert set().union(*batches[at : at + POOL]) == {10, 40, 200, 3000}


def test_an_epoch_and_a_seed_have_an_order_of_their_own():
    sampler = LengthMixedSampler(list(range(40)), 40, batch_size=4, seed=0)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again and first != list(sampler)
    assert first != list(LengthMixedSampler(list(range(40)), 40, batch_size=4, seed=1))


def test_an_evaluation_without_training_is_in_the_precision_that_was_asked_for(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "training.finetuning.trainer.predict", lambda *_, **__: seen.append(torch.is_autocast_enabled("cpu")) or {}
    )
    tokenizer = qa_tiny.tokenizer()
    for bf16 in (True, False):
        AcceleratorState._reset_state(reset_partial_state=True)
        trainer = QATrainer(
            qa_tiny.model("bert", len(tokenizer)),
            TrainingArguments(str(tmp_path), bf16=bf16, use_cpu=True, report_to="none"),
            eval_dataset=Dataset.from_dict({"language": ["en"]}),
            windower=Windower(tokenizer, 48, 8),
            score=lambda *_: ({"f1": 1.0}, {}),
            predict_options={},
        )
        trainer.evaluate()
        assert seen.pop() is bf16
    AcceleratorState._reset_state(reset_partial_state=True)
