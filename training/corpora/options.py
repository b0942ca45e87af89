"""How a data set's paragraphs become rows: its own way, and what a command line says instead."""

from dataclasses import dataclass, field, fields, replace

from foundation.cli import UserError
from hub_datasets.concat import ON_BAD_SPAN, QUESTIONS, ConcatOptions

from .sources import SOURCES, canonical_name, is_published


@dataclass
class ConcatArguments:
    """The flags of every command that reads rows; None is what the data set itself says."""

    nr_concats: int | None = field(
        default=None, metadata={"help": "Paragraphs that are joined into one context; sq3 and xq3: 3, others: 1."}
    )
    questions: str | None = field(
        default=None,
        metadata={
            "help": "first (the thesis) or all questions of a paragraph; sq3 and xq3: first.",
            "choices": QUESTIONS,
        },
    )
    within_articles: bool = field(default=False, metadata={"help": "Join only paragraphs of one article."})
    on_bad_span: str = field(
        default=ConcatOptions.on_bad_span,
        metadata={"help": "For an answer that is not at its answer_start.", "choices": ON_BAD_SPAN},
    )
    columns: str | None = field(
        default=None, metadata={"help": "Other names of a file's columns, THEIRS=OURS with commas: question_id=id."}
    )


def concat_options(
    dataset: str, asked: ConcatArguments | ConcatOptions | None = None, changes_dir: str | None = None
) -> ConcatOptions:
    """The options of `dataset`, with every one that `asked` has and that is not None in the place of its own.

    Args:
        asked: `ConcatArguments`, or whatever else has some of the fields of ConcatOptions.
        changes_dir: the command's output folder, for the list of what --on_bad_span repair_or_drop changed.

    Raises:
        UserError: a value that makes no sense.
    """
    name = canonical_name(dataset)
    if name in SOURCES:
        own = SOURCES[name].concat
    else:
        own = ConcatOptions() if is_published(name) else ConcatOptions(1, "all")
    given = {each.name: getattr(asked, each.name, None) for each in fields(ConcatOptions)}
    if changes_dir is not None:
        given["changes_dir"] = changes_dir
    options = replace(own, **{key: value for key, value in given.items() if value is not None})
    try:
        options.check()
    except ValueError as error:
        raise UserError(f"--{error}") from error
    return options
