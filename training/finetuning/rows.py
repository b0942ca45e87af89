"""From flags to rows: what is trained on, and what is evaluated on."""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.cli import UserError
from training.corpora.generated import MakingArguments
from training.corpora.load import evenly, load_qa
from training.corpora.options import concat_options
from training.corpora.sources import GENERATED, canonical_name, reads_data_dir
from training.runs.randomness import Use, random_stream
from training.scoring.report import score_names

from .arguments import FinetuneArguments

if TYPE_CHECKING:
    import datasets
    from transformers import TrainingArguments


def load_rows(
    arguments: FinetuneArguments, training_args: "TrainingArguments"
) -> tuple["datasets.Dataset | None", "datasets.Dataset | None"]:
    """(training rows, evaluation rows); each is None where nothing asks for it."""
    train = None
    evaluates = training_args.do_eval or training_args.eval_strategy != "no"
    holds_out = arguments.held_out_articles > 0
    options = concat_options(arguments.dataset, arguments)
    load = partial(_load, arguments, str(training_args.output_dir))
    if holds_out and options.nr_concats > 1 and not options.within_articles:
        raise UserError(
            f"--held_out_articles {arguments.held_out_articles} with joined paragraphs (--nr_concats, by default 3 of "
            "sq3 and xq3) needs --within_articles: else one block has both"
        )
    if training_args.do_train or (holds_out and evaluates and not arguments.own_evaluation):
        train = load("train", arguments.dataset, arguments.data_files, arguments.language)
    evaluation = None
    if holds_out and train is not None:
        train, held_out = _split_articles(train, arguments.held_out_articles)
        evaluation = held_out if evaluates and not arguments.own_evaluation else None
    if evaluates and evaluation is None:
        if not arguments.own_evaluation and (arguments.data_files or Path(arguments.dataset).is_file()):
            raise UserError(
                f"--do_eval would score what is trained on, {(arguments.data_files or arguments.dataset)!r}: "
                "give --eval_data_files, --eval_dataset or --held_out_articles"
            )
        dataset = arguments.eval_dataset or arguments.dataset
        language = arguments.eval_language or arguments.language
        evaluation = load("validation", dataset, arguments.eval_data_files, language)
    if train is not None and arguments.max_train_samples is not None:
        chosen = random_stream(training_args.seed, Use.SAMPLE).permutation(len(train))
        train = train.select(chosen[: arguments.max_train_samples])
    if evaluation is not None and arguments.max_eval_samples is not None:
        evaluation = evenly(evaluation, arguments.max_eval_samples)
    if evaluation is not None:
        _check_best(training_args.metric_for_best_model, arguments.eval_dataset or arguments.dataset, evaluation)
    return (train if training_args.do_train else None), evaluation


def _check_best(metric: str | None, dataset: str, evaluation: "datasets.Dataset") -> None:
    """Refuse a best model by a score that these rows do not give: it would be missed at the first save."""
    known = score_names(dataset, evaluation)
    if metric is not None and metric.removeprefix("eval_") not in known:
        raise UserError(
            f"--metric_for_best_model {metric!r} is no score of this evaluation, which gives {', '.join(known)}: take "
            "one of them"
        )


def _load(
    arguments: FinetuneArguments,
    output_dir: str,
    split: str,
    dataset: str,
    data_files: str | None,
    language: str | None,
) -> Any:
    # Options were meant for the training set, and TriviaQA takes none.
    asked = None if dataset != arguments.dataset and canonical_name(dataset).startswith("trivia_qa") else arguments
    making = MakingArguments(**{each.name: getattr(arguments, each.name) for each in fields(MakingArguments)})
    if split == "validation":
        making.background = arguments.eval_background
    if dataset not in GENERATED and {arguments.dataset, arguments.eval_dataset} & set(GENERATED):
        making = MakingArguments()  # it is said of the other one
    return load_qa(
        dataset,
        split,
        data_files=data_files,
        data_dir=arguments.data_dir if reads_data_dir(dataset, data_files) else None,
        language=language,
        options=concat_options(dataset, asked, output_dir),
        making=making,
    )


def _split_articles(rows: "datasets.Dataset", count: int) -> tuple["datasets.Dataset", "datasets.Dataset"]:
    """(rows of all articles but the last `count`, rows of those); an article goes with its translations."""
    articles = _articles(rows["title"], rows["id"])
    last = list(dict.fromkeys(articles))
    if count >= len(last):
        raise UserError(f"--held_out_articles {count} leaves none of the {len(last)} articles to train on")
    held_out = np.isin(articles, last[-count:])
    return rows.select(np.flatnonzero(~held_out)), rows.select(np.flatnonzero(held_out))


def _articles(titles: Sequence[str], ids: Sequence[str]) -> list[int]:
    """The number of each row's article: rows of one title, or of titles that share a question's id.

    Parallel articles have other titles in other languages, and the same ids.
    """
    same: dict[str, str] = {}  # title to a title of the same article, or to itself

    def first(title: str) -> str:
        while (other := same.setdefault(title, title)) != title:
            title = other
        return title

    title_of_id: dict[str, str] = {}
    for title, key in zip(titles, ids, strict=True):
        other = first(title_of_id.setdefault(key, title))
        same[first(title)] = other
    numbers: dict[str, int] = {}
    return [numbers.setdefault(first(title), len(numbers)) for title in titles]
