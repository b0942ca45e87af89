"""The one way to a card: README.md, whose header is data that the Hub reads and whose prose is a template.

    write_card(folder, ModelCardData(license="mit"), Path("card.md.j2"), name="org/model")

Every card ends in one line of its own (`kept_line`). Its owner writes below that line, and adds keys to the header:
both stay when the card is written again, here or on the Hub (`with_additions`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_atomically

CARD = "README.md"
# Fields of a card that a model takes over from the model it was made of.
ORIGIN = ("license", "license_name", "license_link", "language", "base_model")
_LINE = re.compile(r"^<!-- Written by a program: ([^.]*)\. .* -->\n?", flags=re.MULTILINE)


def write_card(folder: Path, data: Any, template: Path, *, before: Path | None = None, **facts: Any) -> Path:
    """Write README.md into `folder`.

    Args:
        data: `ModelCardData` or `DatasetCardData` of huggingface_hub, the header.
        template: prose in Jinja, which begins with `---`, `{{ card_data }}`, `---`.
        before: the card that this one takes the place of (that of `folder` by default); its owner's additions stay.
        facts: what the template names beside the header's keys.
    """
    import jinja2.meta
    from huggingface_hub import DatasetCard, DatasetCardData, ModelCard

    text = template.read_text(encoding="utf-8")
    unknown = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(text)) - {*facts, *vars(data)}
    if unknown - {"card_data"}:
        raise KeyError(f"{template.name} names {sorted(unknown)}, which nobody gives")
    kind = DatasetCard if isinstance(data, DatasetCardData) else ModelCard
    card = kind.from_template(data, template_str=text, **facts)
    new = f"{str(card).rstrip()}\n\n{kept_line(card.data.to_dict())}\n"
    before = before or folder / CARD
    return write_atomically(folder / CARD, with_additions(new, _read(before)) if before.is_file() else new)


def renew_section(card: Path, heading: str, text: str, results: Sequence[Any]) -> Path | None:
    """Put `text` under `## heading` of a card that a program wrote, and `results` into its header; all else stays.

    Returns the card's path; None, and nothing is written, where there is no such card.
    """
    from huggingface_hub import ModelCard

    old = _read(card) if card.is_file() else ""
    section = re.compile(rf"(?<=^## {re.escape(heading)}\n\n).*?(?=\n\n## )", flags=re.MULTILINE | re.DOTALL)
    if not _LINE.search(old) or not section.search(old):
        return None
    new = ModelCard(section.sub(lambda found: text, old, count=1), ignore_metadata_errors=True)
    title = re.search(r"^# (.+)$", new.text, flags=re.MULTILINE)
    new.data.eval_results = list(results) or None  # type: ignore[attr-defined]
    new.data.model_name = (title[1] if title else card.parent.name) if results else None  # type: ignore[attr-defined]
    claimed = {*_LINE.search(old)[1].split(", "), "model-index"}  # type: ignore[index]
    return write_atomically(card, _LINE.sub(f"{kept_line(claimed)}\n", str(new), count=1))


def kept_line(header: Iterable[str]) -> str:
    """The last line of a card that a program wrote, with the keys of the header that are the program's."""
    keys = ", ".join(sorted(header))
    return f"<!-- Written by a program: {keys}. Other keys, and what you write below this line, stay. -->"


def with_additions(new: str, old: str) -> str:
    """The card `new` with what its owner added to `old`, the one before.

    Those are the keys of the header and the text that `kept_line` does not claim; all of a card without that line. A
    `new` card without the line is its owner's own, and stays as it is.
    """
    from huggingface_hub import RepoCard

    if not _LINE.search(new):
        return new
    header, body = _split(old)
    line = _LINE.search(body)
    claimed = line[1].split(", ") if line else ()
    card = RepoCard(new)
    for key, value in header.items():
        if key not in claimed and card.data.get(key) is None:
            card.data[key] = value
    start, own = _parts(str(card))
    added = _parts(body)[1] if line else body.strip()
    kept = own if added in own else added if own in added else f"{added}\n\n{own}"
    return f"{start}\n\n{kept}".rstrip() + "\n"


def _parts(card: str) -> tuple[str, str]:
    """What the program wrote of a card, its last line included, and what stands below."""
    line = _LINE.search(card)
    assert line is not None
    return card[: line.end()].strip(), card[line.end() :].strip()


def _split(card: str) -> tuple[dict[str, Any], str]:
    """Header and body of a card; a header that cannot be read is empty."""
    import yaml

    found = re.match(r"\s*---\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|$)", card, flags=re.DOTALL)
    if not found:
        return {}, card
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError:
        header = None
    return header if isinstance(header, dict) else {}, card[found.end() :]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def read_origin(card: str | Path) -> dict[str, Any]:
    """Licence, languages and base model from a card's header: the keys of `ORIGIN`, None what it does not say."""
    header = _split(_read(Path(card)))[0] if Path(card).is_file() else {}
    origin = {key: header.get(key) for key in ORIGIN}
    languages = origin["language"]
    if languages is not None:
        # YAML reads `no`, the code of Norwegian, as false.
        given = languages if isinstance(languages, list) else [languages]
        named = ["no" if language is False else str(language) for language in given]
        origin["language"] = named if isinstance(languages, list) else named[0]
    return origin


def eval_results(task: str, dataset: Mapping[str, Any], metrics: Mapping[str, float]) -> list[Any]:
    """Scores as the Hub shows them (`model-index`).

    Args:
        dataset: `type` (the Hub's id, or any name), `name`, and where they are known `config`, `split` and `args`.
        metrics: the Hub's name of a metric -> its value.
    """
    from huggingface_hub import EvalResult

    about = {f"dataset_{key}": value for key, value in dataset.items()}
    return [
        EvalResult(task_type=task, metric_type=metric, metric_value=round(float(value), 4), **about)
        for metric, value in metrics.items()
    ]


def public_words(words: Sequence[str]) -> list[str]:
    """A command line for a card, which is published: without --hub_token and its value, and of a path on this machine
    the last name alone."""
    public: list[str] = []
    token_follows = False
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if token_follows or name.replace("-", "_") == "__hub_token":
            token_follows = not token_follows and not equals
        else:
            public.append(f"{name}{equals}{public_path(value)}")
    return public


def public_path(name: str) -> str:
    """The last name of what is, or looks like, a path on this machine; a Hub id or a word stays."""
    path = Path(name).expanduser()
    local = path.is_absolute() or ".." in path.parts or path.exists() or bool(set("*?[") & set(path.name))
    return (path.resolve().name if path.name in ("", "..") else path.name) if local and "/" in name else name


def public_facts(value: Any) -> Any:
    """What a run was, for a file that is pushed: of paths on this machine the last names."""
    if isinstance(value, dict):
        return {key: public_facts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [public_facts(each) for each in value]
    return public_path(value) if isinstance(value, str) else value
