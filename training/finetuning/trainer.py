"""transformers' Trainer with what extractive QA lacks there: span loss, length-mixed batches, evaluation by answers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer

from training.qa import second_look
from training.qa.answers import Answers
from training.qa.model import is_adapter
from training.qa.predict import predict
from training.qa.windows import Windower
from training.runs.checkpoints import explain_full_disk
from training.runs.order import EpochSampler, LengthMixedSampler
from training.runs.randomness import Use, random_stream
from training.scoring.report import over_languages

from .batches import gold_places, span_loss
from .distillation import ShortReader
from .features import NO_ANSWER
from .teacher import disagreement

if TYPE_CHECKING:
    import datasets


class QATrainer(Trainer):
    """Trains on `train_features`, evaluates rows with `predict`.

    Args:
        windower: makes the evaluation's windows.
        score: from the rows of one language, their answers and its name to numbers, logged under `eval_` (the mean of
            several languages), and the texts that were scored.
        predict_options: keywords of `predict`.
        short_reader: adds its `error` to the loss, `distil_weight` times, and logs it as `distil_error`.
        distil_part: of which tokens: "paragraph" (of the answer) or "document".
        teacher: adds the `disagreement` with it to the loss, `teacher_weight` times, and logs it as `teacher_error`.
        look_share: share of the updates that learn from the second look, where the model has one.
    """

    def __init__(
        self,
        *args: Any,
        windower: Windower,
        score: Callable[["datasets.Dataset", Mapping[str, Answers], str], tuple[dict[str, float], dict[str, str]]],
        predict_options: Mapping[str, Any],
        short_reader: ShortReader | None = None,
        distil_weight: float = 1.0,
        distil_part: str = "paragraph",
        teacher: Any = None,
        teacher_weight: float = 1.0,
        look_share: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        # Our loss is a mean over equal batches, so the Trainer has to divide it by the accumulation steps.
        self.model_accepts_loss_kwargs = False
        self.windower, self.score, self.predict_options = windower, score, predict_options
        self.short_reader, self.distil_weight, self.distil_part = short_reader, distil_weight, distil_part
        self.teacher, self.teacher_weight = teacher, teacher_weight
        self.look_share = look_share
        self.errors: dict[str, list[torch.Tensor]] = {"distil_error": [], "teacher_error": []}  # since the last log
        self.answers: dict[str, dict[str, Answers]] = {}  # language: row id: what was found
        self.texts: dict[str, dict[str, str]] = {}  # language: key of the official score: text

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        """An epoch is whole updates, its last one filled with windows that come twice: however an update is split over
        processes, it sees as many windows as any other."""
        windows: Any = train_dataset if train_dataset is not None else self.train_dataset
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        update = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        if self.args.train_sampling_strategy == "group_by_length":
            return LengthMixedSampler(windows["length"], seed, update, self.args.train_batch_size)
        return EpochSampler(len(windows), seed, update, shuffled=self.args.train_sampling_strategy == "random")

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean over the windows of the batch of `span_loss`, and what the long reading differs from the short one."""
        gold = {name: inputs.pop(name) for name in ("starts", "ends", "allowed")}
        paragraph = inputs.pop("paragraph")
        # All windows of an update alike, on every process: a sharded model's forward needs all of them.
        draw = random_stream(self.args.seed, Use.LOOK, self.state.global_step).random()
        places = second_look.places_of(self.model) if draw < self.look_share else 0
        # The short reader compares whole documents, and a second look has parts of them.
        short_reader = None if places else self.short_reader
        seen = gold_places(**gold) if places else None
        outputs = second_look.read(model, inputs, places, seen, output_hidden_states=short_reader is not None)
        loss = span_loss(outputs, **gold)
        if short_reader is not None:
            document = gold["allowed"].clone()
            document[:, NO_ANSWER] = False
            part = paragraph if self.distil_part == "paragraph" else document
            error = short_reader.error(inputs["input_ids"], outputs.hidden_states[-1], document, part)
            self.errors["distil_error"].append(error.detach())
            loss = loss + self.distil_weight * error
        if self.teacher is not None:
            error = disagreement(self.teacher, inputs, outputs, **gold)
            self.errors["teacher_error"].append(error.detach())
            loss = loss + self.teacher_weight * error
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        for name, errors in self.errors.items():
            if "loss" in logs and errors:
                logs[name] = torch.stack(errors).mean().item()
                errors.clear()
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if is_adapter(self.model):  # a whole model has it in its config.json
            second_look.write_places(self.model, Path(str(output_dir or self.args.output_dir)))

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with explain_full_disk(f"a checkpoint into {self.args.output_dir}"):
            super()._save_checkpoint(*args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Answer the rows of the evaluation set, score the answers, log the scores; keeps them in `self.answers`.

        Language by language, since ids repeat from one to the next.
        """
        rows: Any = eval_dataset if eval_dataset is not None else self.eval_dataset
        # A sharded model runs only in its wrapper. Any other is taken out of it; autocast below is that of training.
        model = self.model_wrapped if self.is_fsdp_enabled else self.accelerator.unwrap_model(self.model)
        training = model.training
        found: dict[str, dict[str, float]] = {}
        self.answers, self.texts = {}, {}
        for language in dict.fromkeys(rows["language"]):
            part = rows.select([number for number, each in enumerate(rows["language"]) if each == language])
            with self.accelerator.autocast():  # the model has its own only after a training
                self.answers[language] = predict(model, self.windower, part, **self.predict_options)
            found[language], self.texts[language] = self.score(part, self.answers[language], language)
        model.train(training)
        scores = {f"{metric_key_prefix}_{name}": value for name, value in over_languages(found).items()}
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores
