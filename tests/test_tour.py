"""The tour's cells run, and what is kept in the notebook is what they print."""

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from benchmarks.tour import NOTEBOOK, executed
from tests.conftest import ROOT
from tests.docs_blocks import checkout

FIGURE = re.compile(r"\d+\.\d+(?:e[-+]\d+)?")


@pytest.fixture
def kept() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> list[list[str]]:
    """What each code cell printed or showed, white space and decimal figures aside."""
    shown = [[each.get("text") or " ".join(each.data) for each in cell.outputs] for cell in code(notebook)]
    return [[FIGURE.sub("#", " ".join(text.split())) for text in texts] for texts in shown]


def test_the_notebook_was_run_from_its_first_cell_to_its_last(kept):
    nbformat.validate(kept)
    assert [cell.execution_count for cell in code(kept)] == list(range(1, len(code(kept)) + 1))
    assert {each.output_type for cell in code(kept) for each in cell.outputs} == {"stream", "execute_result"}


def test_what_is_kept_names_no_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    places = [str(ROOT), str(Path.home()), "127.0.0.1", "/tmp/"]
    assert not [place for place in places if re.search(rf"(?<!\w){re.escape(place)}\b", text)]
    assert len(text) < 200_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_cells_print_what_is_kept(kept, tmp_path):
    notebook = executed(checkout(tmp_path / "checkout"), {**os.environ, "HF_HOME": str(tmp_path / "home")})
    assert printed(notebook) == printed(kept), "write docs/tour.ipynb anew: make tour"
