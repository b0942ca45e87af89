"""The retrieval benchmark: which model reads what."""

import json
import re
import sys
from pathlib import Path

import numpy as np

from benchmarks import retrieval


def test_questions_are_read_by_the_model_that_is_asked_about(monkeypatch, tmp_path):
    """The vectors of the trained model are the source's turned around: who mixes the two finds the wrong document."""

    def vectors_of(model: str, texts: list[str], *how) -> np.ndarray:
        about = np.array([text.startswith("Rivers") for text in texts], dtype=int)
        return np.eye(2, dtype=np.float32)[1 - about if model == "after" else about]

    paragraphs = [
        {"context": f"{about} are old.", "qas": [{"id": about, "question": f"{about}?",
         "answers": [{"text": "old", "answer_start": len(f"{about} are ")}]}]} for about in ("Rivers", "Towers")
    ]  # fmt: skip
    data, output = tmp_path / "data.json", tmp_path / "retrieval.json"
    data.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    monkeypatch.setattr(retrieval, "load_embedder", lambda name, **how: name)
    monkeypatch.setattr(retrieval, "vectors_of", vectors_of)
    command = ["retrieval", "--data", f"made={data}", "--reading", "cut", "trained", "--source", "before"]
    command += ["--trained", "after", "--cache", str(tmp_path / "cache"), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", command)
    retrieval.main()
    found = {point["reading"]: point["recall_at_1"] for point in json.loads(output.read_text())["points"]}
    assert found == {"cut": 100.0, "trained": 100.0}


def test_the_pages_tables_are_the_files():
    docs = Path(__file__).parents[2] / "docs"
    points = json.loads((docs / "retrieval.json").read_text())["points"]
    measured = {
        (f"{point['data']} {point['language']}", point["reading"]): (point["recall_at_1"], point["mrr"])
        for point in points
    }
    found = 0
    for table in re.findall(r"(?:^\|.*\n)+", (docs / "embeddings.md").read_text(), re.M):
        names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        for row in rows:
            reading = next((cell.strip("`") for cell in row if cell.strip("`") in retrieval.READINGS), None)
            for name, cell in zip(names, row, strict=True):
                column = name if " " in name else f"{name} en"
                if names[-1] == "MRR" and name in ("recall at 1", "MRR"):
                    column = "FairytaleQA en"
                if reading and (column, reading) in measured and re.match(r"\d", cell):
                    given = measured[column, reading][1:] if name == "MRR" else measured[column, reading]
                    numbers = re.findall(r"[\d.]+", cell)
                    assert numbers == [f"{value:.1f}" for value in given[: len(numbers)]], (column, reading)
                    found += len(numbers)
    assert found >= 12 + 20  # recall and MRR of stories, recall on five other sets
