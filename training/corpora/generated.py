"""The data sets that code makes, terms and babi_far, at the same door as the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions

from .sources import GENERATED, SOURCES, check_split, languages_of

if TYPE_CHECKING:
    import datasets


@dataclass
class MakingArguments:
    """The flags of every command that reads rows that code makes; None is the data set's own default."""

    tokens: int | None = field(
        default=None, metadata={"help": "terms, babi_far: question and document together, at most (4096)."}
    )
    parties: int | None = field(default=None, metadata={"help": "terms: 2 to 6, chance is 1 in as many (3)."})
    hops: int | None = field(default=None, metadata={"help": "terms: sentences that the answer needs, 2 or 3 (2)."})
    task: int | None = field(default=None, metadata={"help": "babi_far: bAbI's task, 1, 2, 3 or 14 (1)."})
    background: str | None = field(
        default=None,
        metadata={"help": "terms, babi_far: SQuAD-format file (pattern, {language}) or folder of XQuAD's and SQuAD's."},
    )
    tokenizer: str | None = field(
        default=None, metadata={"help": "terms, babi_far: what counts --tokens; XLM-R's are estimated without it."}
    )
    rows: int | None = field(default=None, metadata={"help": "terms, babi_far: questions a language (500)."})


def making_parameters(dataset: str, asked: Any, data_files: Any = None) -> dict[str, Any]:
    """What `asked` (whatever has fields of `MakingArguments`) says of how rows are made.

    Raises:
        UserError: it says something of a data set that no code makes.
    """
    given = {each.name: getattr(asked, each.name, None) for each in fields(MakingArguments)}
    given = {name: value for name, value in given.items() if value is not None}
    made = dataset in GENERATED and data_files is None
    if given and not made:
        name, value = next(iter(given.items()))
        raise UserError(
            f"--{name} {value!r} is for {' and '.join(GENERATED)}, not for {data_files or dataset!r}: leave it out"
        )
    return given


def load_generated(
    name: str, split: str, data_dir: str | None, language: str | None, given: Mapping[str, Any], options: ConcatOptions
) -> "datasets.Dataset":
    """One split in each language that is asked for."""
    import datasets

    import hub_datasets
    from conversion.named import resolve

    source = SOURCES[name]
    check_split(name, source, split)
    if replace(options, changes_dir="") != source.concat:
        raise UserError(
            f"--nr_concats, --questions, --within_articles, --on_bad_span and --columns do not go with {name}: its "
            "documents are made as long as --tokens says"
        )
    given = dict(given)
    if "tokenizer" in given:
        given["tokenizer"] = resolve(given["tokenizer"])
    if data_dir is not None:
        given["data_dir"] = data_dir
    codes = languages_of(name, source, language)
    try:
        parts = [hub_datasets.load_dataset(name, code, split=split, **given) for code in codes]
    except UserError as error:
        raise UserError(f"--{error}") from error
    return datasets.concatenate_datasets(parts)
