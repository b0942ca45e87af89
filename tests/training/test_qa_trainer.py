"""An evaluation between the steps of a training, or without any."""

import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import TrainingArguments

from training.finetuning.trainer import QATrainer
from training.qa.windows import Windower

from . import qa_tiny


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
