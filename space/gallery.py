"""The example documents of the page: short and long, in several languages and scripts."""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "examples"
SAMPLE = Path(__file__).parents[1] / "hub_datasets" / "sample"


@dataclass(frozen=True)
class Example:
    """One document and questions to try on it, the last ones in other languages or without an answer.

    `path` is a text file, or a SQuAD-format file whose articles are read one after the other; `key` stands in links,
    as in `?example=gota-kanal`; `language` is its language's own name for itself.
    """

    name: str
    key: str
    title: str
    language: str
    path: Path
    questions: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.title} · {self.language}"

    @property
    def text(self) -> str:
        content = self.path.read_text(encoding="utf-8")
        if self.path.suffix == ".txt":
            return content.strip()
        articles = json.loads(content)["data"]
        return "\n\n".join(
            part
            for article in articles
            for part in (article["title"], *(paragraph["context"] for paragraph in article["paragraphs"]))
        )


def examples() -> dict[str, Example]:
    """Every example by name, in the order of the page."""
    entries = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    found = {}
    for entry in entries:
        path = FOLDER / entry["file"] if "file" in entry else SAMPLE / f"sample.{entry['sample']}.json"
        found[entry["name"]] = Example(
            entry["name"], entry["key"], entry["title"], entry["language"], path, tuple(entry["questions"])
        )
    return found
