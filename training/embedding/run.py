"""One training run of an embedding model, by sentence-transformers' own trainer and losses."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from foundation.cards import public_facts, public_path
from foundation.cli import UserError
from foundation.files import write_atomically
from training.pretraining.trainer import freeze_global_projections, with_global_projections
from training.runs.checkpoints import MarkCheckpoints, contents, identity, prepare_output_dir, train_and_save
from training.runs.pushing import claim_push, publish

from .arguments import EmbedArguments
from .documents import documents, pairs, stretches
from .map import add_map, from_map_on
from .model import encoder, head, library, load_embedder, prompt
from .pieces import mean, piece_vectors

RESULTS = "embed_results.json"
TEACHER_BATCH = 64  # documents that the teacher reads between two writes


def train(arguments: EmbedArguments, training_args: TrainingArguments) -> dict[str, float]:
    """Train and score as `arguments` say; returns the figures, which lie in embed_results.json too."""
    from transformers import set_seed

    arguments.check(training_args)
    push = claim_push(training_args)
    this_run = identity(training_args, entry_point="embed", **asdict(arguments))
    checkpoint = prepare_output_dir(training_args, this_run, arguments.overwrite_output_dir)
    set_seed(training_args.seed)
    model = load_embedder(
        arguments.model_name_or_path,
        revision=arguments.revision,
        max_length=arguments.max_length,
        pooling=arguments.pooling,
        prompts=arguments.prompts,
        fast_attention=arguments.fast_attention,
        device=str(training_args.device),
        config=arguments.config,
    )
    trainer = _trainer(model, arguments, training_args, this_run)
    results: dict[str, float] = {}
    if training_args.do_eval and checkpoint is None:
        results["loss_before"] = trainer.evaluate()["eval_loss"]
    if training_args.do_train:
        train_and_save(trainer, checkpoint)
    if training_args.do_eval and training_args.do_train:
        results["loss_after"] = trainer.evaluate()["eval_loss"]
    if training_args.should_save:
        output_dir = Path(str(training_args.output_dir))
        content = {**results, "steps": trainer.state.global_step, "run": public_facts(this_run)}
        write_atomically(output_dir / RESULTS, json.dumps(content, indent=1))
        if push:
            source = public_path(arguments.model_name_or_path)
            print(publish(training_args, f"Embeddings of whole documents, from {source}"))
    return results


def _trainer(model: Any, arguments: EmbedArguments, training_args: TrainingArguments, this_run: dict[str, Any]) -> Any:
    st = library()
    losses = library("sentence_transformers.sentence_transformer.losses")
    if arguments.train == "map":
        trained = from_map_on(model, add_map(model), arguments.mini_batch_size)
    else:
        trained = model
        _freeze_unused(model)
    rows = partial(_rows, model, arguments, training_args)
    train_rows = rows(arguments.train_file_path, "--train_file_path") if training_args.do_train else None
    eval_rows = rows(arguments.val_file_path, "--val_file_path") if training_args.do_eval else None
    given = {
        field.name: getattr(training_args, field.name) for field in dataclasses.fields(TrainingArguments) if field.init
    }
    if arguments.objective == "pieces":
        loss = losses.EmbedDistillLoss(trained, distance_metric="cosine")
        prompts = {"text": prompt(model, "document")}
        sampler = "batch_sampler"
    else:
        if arguments.train == "map":
            loss = losses.MultipleNegativesRankingLoss(trained, scale=1 / arguments.temperature)
        else:
            # The same, but it takes a batch in parts, so that a large one fits the memory.
            loss = losses.CachedMultipleNegativesRankingLoss(
                trained, scale=1 / arguments.temperature, mini_batch_size=arguments.mini_batch_size
            )
        prompts = {"anchor": prompt(model, "query"), "positive": prompt(model, "document")}
        sampler = "no_duplicates"  # a document that comes twice in a batch would be its own counter-example
    given |= {"prompts": prompts, "batch_sampler": sampler}

    class Trainer(st.SentenceTransformerTrainer):  # type: ignore[name-defined]
        """sentence-transformers' trainer, whose card quotes no text that was trained on."""

        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            pass

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            if trained is model:
                _follow(model)
            super()._save(output_dir, state_dict)

        def _load_from_checkpoint(self, checkpoint_path: str) -> None:
            if trained is model:
                super()._load_from_checkpoint(checkpoint_path)
            else:  # a checkpoint is the whole model, in which the map is one module
                model.load_state_dict(st.SentenceTransformer(checkpoint_path, device="cpu").state_dict())

    return Trainer(
        trained,
        st.SentenceTransformerTrainingArguments(**given),
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        loss=loss,
        callbacks=[MarkCheckpoints(this_run)],
    )


def _rows(
    model: Any, arguments: EmbedArguments, training_args: TrainingArguments, given: str | None, argument: str
) -> Any:
    """The rows of one file as a `datasets.Dataset`, made by the first process and read by the others."""
    from datasets import Dataset, Features, Sequence, Value
    from datasets.exceptions import DatasetGenerationError

    path = str(Path(str(given)).expanduser())
    source: dict[str, Any] = {"path": path, "argument": argument, "stamp": contents([path])}
    make: Any = _paired
    columns: dict[str, Any] = {"anchor": Value("string"), "positive": Value("string")}
    if arguments.objective == "pieces":
        make, dimensions = _taught, model.get_embedding_dimension()
        columns = {"text": Value("string"), "label": Sequence(Value("float32"), dimensions)}
        source |= {
            "dimensions": dimensions, "teacher": arguments.teacher(), "prompt": prompt(model, "document"),
            "pooling": arguments.pooling, "column": arguments.text_column,
            "lengths": (arguments.min_length, arguments.max_length), "seed": training_args.seed,
            "device": str(training_args.device),
        }  # fmt: skip
    with training_args.main_process_first(local=False, desc=f"reading {argument}"):
        try:
            rows = Dataset.from_generator(make, Features(columns), gen_kwargs=source)
        except DatasetGenerationError as error:
            raise error.__cause__ if isinstance(error.__cause__, UserError) else error from None
    if len(rows) == 0:
        raise UserError(f"{argument} {path!r} holds no text to learn from: give a longer one")
    return rows


def _paired(path: str, argument: str, stamp: Any) -> Iterator[dict[str, str]]:
    """Rows of pairs; `stamp` changes with the file, so that the cache of an older one is not taken."""
    yield from pairs(path, argument)


def _taught(
    path: str, argument: str, stamp: Any, dimensions: int, teacher: str, prompt: str, pooling: str, column: str,
    lengths: tuple[int, int], seed: int, device: str,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows `{"text", "label"}`: stretches of text and the teacher's mean over their pieces."""
    model = load_embedder(
        teacher, pooling=pooling, prompts={"document": prompt}, device=device, argument="--teacher_name_or_path"
    )
    found = model.get_embedding_dimension()
    if found != dimensions:
        raise UserError(f"--teacher_name_or_path {teacher!r} gives {found} numbers a text, the long model {dimensions}")
    taken = len(model.tokenizer(prompt)["input_ids"])
    waiting: list[dict[str, Any]] = []
    texts = documents(path, column, argument)
    for row in stretches(texts, model.tokenizer, lengths[0] - taken, lengths[1] - taken, seed):
        waiting.append(row)
        if len(waiting) == TEACHER_BATCH:
            yield from _labelled(model, waiting)
            waiting = []
    if waiting:
        yield from _labelled(model, waiting)


def _labelled(teacher: Any, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row, vectors in zip(rows, piece_vectors(teacher, [row["text"] for row in rows]), strict=True):
        yield {**row, "label": mean(vectors)}


def _freeze_unused(model: Any) -> None:
    """What no vector depends on gets no gradient, and processes that train together would wait for it."""
    for parameter in head(encoder(model)):
        parameter.requires_grad_(False)
    if not first_token_is_global(model):
        freeze_global_projections(encoder(model))


def _follow(model: Any) -> None:
    """Global projections that were not trained become copies of the trained local ones."""
    if not first_token_is_global(model):
        inside = encoder(model)
        inside.load_state_dict(with_global_projections(inside.state_dict()))


def first_token_is_global(model: Any) -> bool:
    """Whether every token sees the first one: the classifier's class asks for it by itself."""
    return type(encoder(model)).__name__ == "LongformerForSequenceClassification"
