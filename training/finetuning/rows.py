"""From flags to rows, and from rows to training windows."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from foundation.cli import UserError
from training.corpora.load import evenly, load_qa
from training.corpora.options import concat_options
from training.corpora.sources import canonical_name, reads_data_dir
from training.qa.windows import Windower
from training.runs.workers import worker_pool

from .arguments import FinetuneArguments
from .features import train_features
from .mixture import Mixture, mix_lengths

logger = logging.getLogger(__name__)
CHUNK = 256  # examples that a worker takes at a time


def load_rows(arguments: FinetuneArguments, training_args: Any) -> tuple[Any, Any]:
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
        train = train.shuffle(seed=training_args.seed).select(range(min(arguments.max_train_samples, len(train))))
    if evaluation is not None and arguments.max_eval_samples is not None:
        evaluation = evenly(evaluation, arguments.max_eval_samples)
    return (train if training_args.do_train else None), evaluation


def make_features(arguments: FinetuneArguments, training_args: Any, windower: Windower, rows: Any) -> Any:
    """The training windows of `rows` as a data set, documents lengthened as the flags say."""
    mixture = Mixture(
        arguments.long_fraction,
        arguments.max_paragraphs,
        arguments.same_article,
        arguments.unanswerable_fraction,
        training_args.seed,
        arguments.documents_per_question,
    )
    if not any(answers["text"] for answers in rows["answers"]):
        raise UserError(f"--dataset {arguments.dataset!r} has no answer in its training rows: it cannot be trained on")

    drawn = mix_lengths(list(rows), mixture) if mixture.changes_something() else iter(rows)
    windows_of = partial(_windows, windower=windower, negatives=arguments.negatives, seed=training_args.seed)
    total = -(-len(rows) * arguments.documents_per_question // CHUNK)
    features = _joined(windows_of, _chunks(drawn), total, arguments.num_proc)
    positives = sum(ends != [0] for ends in features["ends"])
    logger.info(
        "%d questions became %d training windows, %d with an answer; %.1f M tokens, longest %d",
        len(rows), len(features), positives, sum(features["length"]) / 1e6, max(features["length"]),
    )  # fmt: skip
    return features


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
    return load_qa(
        dataset,
        split,
        data_files=data_files,
        data_dir=arguments.data_dir if reads_data_dir(dataset, data_files) else None,
        language=language,
        options=concat_options(dataset, asked, output_dir),
    )


def _split_articles(rows: Any, count: int) -> tuple[Any, Any]:
    """(rows of all articles but the last `count`, rows of those)."""
    titles = list(dict.fromkeys(rows["title"]))
    if count >= len(titles):
        raise UserError(f"--held_out_articles {count} leaves none of the {len(titles)} articles to train on")
    last = set(titles[-count:])
    held = [title in last for title in rows["title"]]
    return rows.select(np.flatnonzero(~np.array(held))), rows.select(np.flatnonzero(held))


def _chunks(rows: Iterator[Any]) -> Iterator[tuple[list[Any], int]]:
    """CHUNK rows at a time, with the number of the first of them."""
    first = 0
    while chunk := list(islice(rows, CHUNK)):
        yield chunk, first
        first += len(chunk)


def _joined(windows_of: Callable[..., Any], chunks: Iterator[Any], total: int, workers: int) -> Any:
    """The windows of every chunk as one data set."""
    from datasets import concatenate_datasets

    progress = partial(tqdm, total=total, desc="training windows", unit=f" x {CHUNK}", disable=None, leave=False)
    if workers == 1:
        parts = list(progress(map(windows_of, chunks)))
    else:
        with worker_pool(workers) as pool:
            parts = list(progress(pool.map(windows_of, chunks)))
    parts = [part for part in parts if len(part)]
    if not parts:
        raise UserError("no training window could be made: no answer is covered by the tokenizer's tokens")
    return concatenate_datasets(parts)


def _windows(chunk: tuple[Sequence[Mapping[str, Any]], int], windower: Windower, negatives: int, seed: int) -> Any:
    """The training windows of some rows, the first of which has the number that comes with them, as a data set."""
    import datasets

    integer, real = datasets.Value("int32"), datasets.Value("float32")
    integers = datasets.Sequence(integer)
    features = datasets.Features(
        input_ids=integers, length=integer, prefix_length=integer, document_length=integer,
        starts=integers, ends=integers, place=real, paragraph=integers,
    )  # fmt: skip
    rows, first = chunk
    windows = list(train_features(rows, windower, negatives=negatives, seed=seed, first=first))
    columns = {name: [window[name] for window in windows] for name in features}
    return datasets.Dataset.from_dict(columns, features=features)
