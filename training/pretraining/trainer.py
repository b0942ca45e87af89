"""transformers' Trainer with what long MLM lacks there: global projections that follow the local ones, and scores of
the same masked tokens at a short and at the full length."""

from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from training.runs.checkpoints import explain_full_disk
from training.runs.order import EpochSampler

from .scores import score

PROJECTIONS = ("query", "key", "value")


def freeze_global_projections(model: torch.nn.Module) -> None:
    """Take the global query, key and value out of training: without global tokens in MLM they get no gradient, and
    DDP would wait for it."""
    for name, parameter in model.named_parameters():
        if any(f".{projection}_global." in name for projection in PROJECTIONS):
            parameter.requires_grad_(False)


def with_global_projections(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same state dict, in which each global projection is a copy of its trained local one."""
    copied = dict(state_dict)
    for name, tensor in state_dict.items():
        for projection in PROJECTIONS:
            target = name.replace(f".{projection}.", f".{projection}_global.")
            if target != name and target in state_dict:
                copied[target] = tensor.clone()
    return copied


def were_trained_apart(model: Any) -> bool:
    """Whether any global projection differs from its local one: an older training moved them, as QA does."""
    state = model.state_dict()
    return any(not torch.equal(tensor, state[name]) for name, tensor in with_global_projections(state).items())


class MlmTrainer(Trainer):
    """Trains and scores a `LongformerForMaskedLM` on packed text.

    Args:
        eval_sequences: how many sequences of the evaluation set are scored, at most.
        short_length: the second length of every evaluation.
    """

    def __init__(self, *args: Any, eval_sequences: int | None = None, short_length: int = 512, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.eval_sequences, self.short_length = eval_sequences, short_length
        self.follow = not were_trained_apart(self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler | None:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        if isinstance(dataset, torch.utils.data.IterableDataset):
            return None
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        update = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return EpochSampler(len(dataset), seed, update)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss, perplexity and bits_per_byte at the full length and, with a suffix such as `_512`, at the short one."""
        packed: Any = eval_dataset if eval_dataset is not None else self.eval_dataset
        model = self.model_wrapped if self.is_fsdp_enabled else self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        metrics: dict[str, float] = {}
        for length in sorted({packed.length, min(self.short_length, packed.length)}):
            scores = score(
                model,
                packed,
                min(len(packed), self.eval_sequences or len(packed)),
                self.processing_class,
                self.accelerator,
                length=length,
                batch_size=self.args.per_device_eval_batch_size,
            )
            metrics |= scores.metrics(metric_key_prefix, "" if length == packed.length else f"_{length}")
        model.train(training)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if state_dict is None:
            state_dict = self.accelerator.unwrap_model(self.model, keep_torch_compile=False).state_dict()
        super()._save(output_dir, with_global_projections(state_dict) if self.follow else state_dict)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with explain_full_disk(f"checkpoint-{self.state.global_step} in {self.args.output_dir}"):
            super()._save_checkpoint(model, trial)
