"""Where the question-answering data sets lie: their names on the Hub, and their files in the official layout.

squad, sq3      {train,dev}-v1.1.json                           rajpurkar/squad
squad_v2        {train,dev}-v2.0.json                           rajpurkar/squad_v2
xquad, xq3      xquad.<lang>.json                               google/xquad
mlqa            {dev,test}-context-<lang>-question-<lang>.json  facebook/mlqa
trivia_qa       qa/wikipedia-{train,dev}.json, evidence/        mandarjoshi/trivia_qa (rc.wikipedia)
trivia_qa_web   qa/web-{train,dev}.json, evidence/              mandarjoshi/trivia_qa (rc.web)
sample          the corpus in hub_datasets/sample
terms           made by code; background from XQuAD and SQuAD
babi_far        made by code of bAbI's files, qa<task>_*_{train,test}.txt, in data_dir
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions

XQUAD_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
# At the end of a file's name, after _ or -, only these two letters mean a language: those of XLM-R, and nb.
LANGUAGES = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it "
    "ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my nb ne nl no om or pa pl ps pt ro ru sa sd si sk sl so "
    "sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh"
)
SAMPLE_LANGUAGES = ("de", "en", "es", "fr", "sv")


@dataclass(frozen=True)
class Source:
    """One data set. In the patterns, {split}, {language}, {context} and {question} are filled in.

    `splits` maps our split names to the official files'; `config` is the name of the Hub's configuration; `concat` is
    how its paragraphs become rows where nobody says it otherwise.
    """

    hub_id: str | None
    files: str
    splits: dict[str, str]
    metric: str = "squad"
    languages: Sequence[str] = ("en",)
    config: str | None = None
    revision: str | None = None
    folders: Sequence[str] = (".",)
    concat: ConcatOptions = field(default_factory=partial(ConcatOptions, nr_concats=1, questions="all"))


_SQUAD = Source("rajpurkar/squad", "{split}-v1.1.json", {"train": "train", "validation": "dev"})
_XQUAD = Source(
    "google/xquad",
    "xquad.{language}.json",
    {"validation": "validation"},
    languages=XQUAD_LANGUAGES,
    config="xquad.{language}",
)
_MADE = Source(None, "", {"train": "train", "validation": "validation"}, languages=(*XQUAD_LANGUAGES, "sv"))
SOURCES = {
    "squad": _SQUAD,
    "sq3": replace(_SQUAD, concat=ConcatOptions()),
    "squad_v2": Source(
        "rajpurkar/squad_v2", "{split}-v2.0.json", {"train": "train", "validation": "dev"}, metric="squad_v2"
    ),
    "xquad": _XQUAD,
    "xq3": replace(_XQUAD, concat=ConcatOptions()),
    "mlqa": Source(
        "facebook/mlqa",
        "{split}-context-{context}-question-{question}.json",
        {"validation": "dev", "test": "test"},
        metric="mlqa",
        languages=MLQA_LANGUAGES,
        config="mlqa.{context}.{question}",
        # The main branch has a loading script, which `datasets` 4 and later refuse. This is the Hub's own Parquet copy.
        revision="refs/convert/parquet",
        folders=(".", "{split}", "MLQA_V1/{split}"),
    ),
    "trivia_qa": Source(
        "mandarjoshi/trivia_qa",
        "wikipedia-{split}.json",
        {"train": "train", "validation": "dev"},
        metric="triviaqa",
        config="rc.wikipedia",
        folders=("qa", "."),
    ),
    "trivia_qa_web": Source(
        "mandarjoshi/trivia_qa",
        "web-{split}.json",
        {"train": "train", "validation": "dev"},
        metric="triviaqa",
        config="rc.web",
        folders=("qa", "."),
    ),
    "sample": Source(
        None,
        "sample.{language}.json",
        {"train": "train", "validation": "validation"},
        languages=SAMPLE_LANGUAGES,
    ),
    "terms": _MADE,
    "babi_far": _MADE,
}
GENERATED = ("terms", "babi_far")
ALIASES = {"squad_long": "sq3", "xquad_long": "xq3", "triviaqa": "trivia_qa"}
LONG_REPOSITORIES = ("squad_long", "xquad_long")  # `hub_datasets.publish` gives them these names, under any owner


def canonical_name(dataset: str) -> str:
    """The name that SOURCES has for `dataset`; a Hub id or a path comes back as it is."""
    return ALIASES.get(dataset, dataset)


def is_published(dataset: str) -> bool:
    """Whether `dataset` is the Hub id of SQ3 or XQ3 as `hub_datasets.publish` publishes them."""
    return dataset.partition("/")[2] in LONG_REPOSITORIES


def check_split(dataset: str, source: Source, split: str) -> None:
    """A UserError that says what to take instead, for a split that the data set does not have."""
    if split in source.splits:
        return
    mend = "train on squad and evaluate here" if split == "train" else f"it has {', '.join(source.splits)}"
    raise UserError(f"--dataset {dataset!r} has no split {split!r}: {mend}")


def reads_data_dir(dataset: str, data_files: object = None) -> bool:
    """Whether official files of `dataset` are looked for in a data_dir; TriviaQA's documents are beside data_files."""
    source = SOURCES.get(canonical_name(dataset))
    if source is None or source.hub_id is None:
        return dataset == "babi_far"
    return data_files is None or source.metric == "triviaqa"


def check_data_dir(data_dir: str | None, *loads: tuple[str, object]) -> None:
    """A UserError for a data_dir that none of the `loads`, (dataset, data_files), would look into."""
    if data_dir is not None and not any(reads_data_dir(*load) for load in loads):
        raise UserError(
            f"--data_dir {data_dir!r} is for official files, and {loads[0][1] or loads[0][0]!r} is read from "
            "elsewhere: leave --data_dir out"
        )


def languages_of(dataset: str, source: Source, language: str | None) -> list[str]:
    """The languages that were asked for: one, a list with commas, or `all`; English when nothing is said.

    MLQA takes pairs too: `de.en` is a German document with an English question, `all.all` all 49 pairs.
    """
    if language is None:
        return ["en"]
    known = list(source.languages)
    pairs = [f"{context}.{question}" for context in known for question in known] if dataset == "mlqa" else []
    chosen: list[str] = []
    for part in language.split(","):
        if part == "all":
            chosen += known
        elif part == "all.all" and pairs:
            chosen += pairs
        elif part in known or part in pairs:
            chosen.append(part)
        else:
            raise UserError(f"--language {part!r} is none of the languages of {dataset}: {', '.join(known)}, or all")
    return list(dict.fromkeys(chosen))


def fill(pattern: str, split: str, language: str) -> str:
    """A pattern of SOURCES for one official split name and one language (or pair, document before question)."""
    context, _, question = language.partition(".")
    return pattern.format(split=split, language=language, context=context, question=question or context)


def local_file(source: Source, data_dir: str | Path, split: str, language: str) -> Path:
    """The data set's official file under `data_dir`, or one that extends its name (`train-v1.1-part.json`)."""
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"--data_dir {str(data_dir)!r} is not a folder: give the folder of the official files")
    official = source.splits[split]
    name = fill(source.files, official, language)
    for folder in source.folders:
        exact = root / fill(folder, official, language) / name
        if exact.is_file():
            return exact
        extended = sorted(exact.parent.glob(f"{exact.stem}-*.json"))
        if len(extended) == 1:
            return extended[0]
    raise UserError(f"--data_dir {str(data_dir)!r} has no {name}: download the data set's official files there")
