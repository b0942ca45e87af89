"""From flags to rows: what is trained on, and what is evaluated on."""

from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from foundation.cli import UserError
from training.corpora.generated import MakingArguments
from training.corpora.load import evenly, load_qa
from training.corpora.options import concat_options
from training.corpora.sources import GENERATED, canonical_name, reads_data_dir
from training.runs.randomness import Use, random_stream
from training.scoring.report import score_names

from .across import Questions, question_key
from .arguments import FinetuneArguments
from .reading import as_one, cap_rows, read_sources, shares

if TYPE_CHECKING:
    import datasets
    from transformers import TrainingArguments

EVAL_SEED = 0  # draws the questions of a capped evaluation: they are the same for every seed of a run
LONG_ID = 16  # characters; an id so long means the same question in all data sets, a shorter one may be a number


class Rows(NamedTuple):
    """The rows of a run; None is what nothing asks for.

    `train` is what is trained on, `at_hand` those rows and what caps and --max_train_samples left out of them, from
    which a document's other paragraphs and a question in other languages come. `shares` says in Markdown what is
    trained on.
    """

    train: "datasets.Dataset | None"
    evaluation: "datasets.Dataset | None"
    at_hand: "datasets.Dataset | None" = None
    shares: str = ""


def load_rows(arguments: FinetuneArguments, training_args: "TrainingArguments") -> Rows:
    """What is trained on, and what is evaluated on."""
    train = at_hand = evaluation = None
    evaluates = training_args.do_eval or training_args.eval_strategy != "no"
    holds_out = arguments.held_out_articles > 0
    output_dir = str(training_args.output_dir)
    files = [path for source in arguments.sources for path in source.files or ()]
    if evaluates and not holds_out and not arguments.own_evaluation and (files or len(arguments.sources) > 1):
        raise UserError(
            f"--do_eval would score what is trained on, {(arguments.data_files or arguments.dataset)[0]!r}: "
            "give --eval_data_files, --eval_dataset or --held_out_articles"
        )
    for source in arguments.sources:
        options = concat_options(source.dataset, arguments)
        if holds_out and options.nr_concats > 1 and not options.within_articles and not source.is_generated:
            raise UserError(
                f"--held_out_articles {arguments.held_out_articles} with joined paragraphs (--nr_concats, by default 3 "
                "of sq3 and xq3) needs --within_articles: else one block has both"
            )
    if training_args.do_train or (holds_out and evaluates and not arguments.own_evaluation):
        train = read_sources(arguments.sources, arguments, output_dir)
    if holds_out and train is not None:
        train, held_out = _split_articles(train, arguments.held_out_articles)
        evaluation = held_out if evaluates and not arguments.own_evaluation else None
    if evaluates and evaluation is None:
        evaluation = _load_evaluation(arguments, output_dir)
    if train is not None:
        at_hand = train
        train = cap_rows(train, training_args.seed)
    if train is not None and arguments.max_train_samples is not None:
        chosen = random_stream(training_args.seed, Use.SAMPLE).permutation(len(train))
        train = train.select(chosen[: arguments.max_train_samples])
    if evaluation is not None and arguments.max_eval_samples is not None:
        evaluation = evenly(evaluation, arguments.max_eval_samples)
    if evaluation is not None:
        _check_best(training_args.metric_for_best_model, arguments.scored_as, evaluation)
    if not training_args.do_train:
        return Rows(None, evaluation)
    return Rows(train, evaluation, at_hand, _shares(arguments, train, at_hand))


def _shares(arguments: FinetuneArguments, train: "datasets.Dataset", at_hand: "datasets.Dataset") -> str:
    text = shares(train, at_hand)
    share = arguments.cross_language
    if share:
        asked, others = (rows.select_columns(["id", "source", "language", "question"]) for rows in (train, at_hand))
        count = Questions(others.to_list()).count(asked.to_list(), share)
        text += (
            f"\n\nOf the questions, {count:,} are at hand in other languages than their document's, and {share:.0%} of "
            "those are asked in one of them."
        )
    return text


def _load_evaluation(arguments: FinetuneArguments, output_dir: str) -> "datasets.Dataset":
    """The validation split of --eval_dataset, of --eval_data_files, or of the only data set that is trained on."""
    dataset = arguments.scored_as
    own = {} if arguments.own_evaluation else arguments.sources[0].options
    # The options were given for the training set. TriviaQA takes none.
    trained = [canonical_name(source.dataset) for source in arguments.sources]
    other = canonical_name(dataset) not in trained and canonical_name(dataset).startswith("trivia_qa")
    making = {each.name: getattr(arguments, each.name) for each in fields(MakingArguments)}
    making |= {"background": arguments.eval_background} | {name: own[name] for name in making.keys() & own.keys()}
    if dataset not in GENERATED and {*trained, arguments.eval_dataset} & set(GENERATED):
        making = {}  # the flags were given for the generated data set
    source = arguments.evaluated
    files = list(source.files) if source and source.files else None
    rows = load_qa(
        dataset,
        "validation",
        data_files=files,
        data_dir=arguments.data_dir if reads_data_dir(dataset, files) else None,
        language=arguments.eval_language or own.get("language", arguments.language),
        options=concat_options(dataset, None if other else arguments, output_dir),
        making=MakingArguments(**making),
        unique_ids=files is None,
        name_files=files is not None,
    )
    if source is None or files is None:
        return rows
    return cap_rows(as_one([(source, rows)], f"--eval_data_files {' '.join(files)!r}"), EVAL_SEED)


def _check_best(metric: str | None, dataset: str, evaluation: "datasets.Dataset") -> None:
    """Refuse a best model by a score that these rows do not give: it would be missed at the first save."""
    known = score_names(dataset, evaluation)
    if metric is not None and metric.removeprefix("eval_") not in known:
        raise UserError(
            f"--metric_for_best_model {metric!r} is no score of this evaluation, which gives {', '.join(known)}: take "
            "one of them"
        )


def _split_articles(rows: "datasets.Dataset", count: int) -> tuple["datasets.Dataset", "datasets.Dataset"]:
    """(rows of all articles but the last `count` of each source, rows of those); an article goes with its translations,
    which may be in another source. What code makes has no articles, and a validation split."""
    keys = _column(rows, "source", "")
    numbers = _articles(rows)
    last: set[int] = set()
    generated = {key for key in keys if canonical_name(key.split(":")[0]) in GENERATED}
    sources = [key for key in dict.fromkeys(keys) if key not in generated] or list(dict.fromkeys(keys))
    for source in sources:
        articles = list(dict.fromkeys(number for number, key in zip(numbers, keys, strict=True) if key == source))
        if count >= len(articles):
            of = f" of {source}" if len(sources) > 1 else ""
            raise UserError(f"--held_out_articles {count} leaves none of the {len(articles)} articles{of} to train on")
        last |= set(articles[-count:])
    held_out = np.isin(numbers, list(last))
    return rows.select(np.flatnonzero(~held_out)), rows.select(np.flatnonzero(held_out))


def _articles(rows: "datasets.Dataset") -> list[int]:
    """The number of each row's article: rows of one title in a source, or of titles that share a question.

    Parallel articles have other titles in other languages, and the same ids.
    """
    same: dict[str, str] = {}  # title: another title of the same article, or itself

    def first(title: str) -> str:
        while (other := same.setdefault(title, title)) != title:
            title = other
        return title

    columns = ("id", "source", "language")
    given = [
        dict(zip(columns, each, strict=True)) for each in zip(*(_column(rows, c, "") for c in columns), strict=True)
    ]
    titles = [f"{row['source']}\n{title}" for row, title in zip(given, rows["title"], strict=True)]
    title_of: dict[tuple[str, str], str] = {}
    for title, row in zip(titles, given, strict=True):
        source, key = question_key(row)
        other = first(title_of.setdefault(("" if len(key) >= LONG_ID else source, key), title))
        same[first(title)] = other
    numbers: dict[str, int] = {}
    return [numbers.setdefault(first(title), len(numbers)) for title in titles]


def _column(rows: "datasets.Dataset", name: str, otherwise: str) -> list[str]:
    return rows[name] if name in rows.column_names else [otherwise] * len(rows)
