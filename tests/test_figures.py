"""The README's figures are those of the files in docs/."""

import json

import pytest

from benchmarks import attention, figures
from foundation.cli import UserError
from tests.conftest import ROOT


def test_the_readmes_tables_are_what_the_command_writes():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert figures.fill(page) == page, "python -m benchmarks.figures writes them anew"


def test_a_changed_figure_changes_its_table(monkeypatch):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    changed = json.loads(json.dumps(figures.docs("pretraining.json")))
    changed["step"]["figures"]["speed"] = 1234.5
    read = figures.docs
    monkeypatch.setattr(figures, "docs", lambda name: changed if name == "pretraining.json" else read(name))
    filled = figures.fill(page)
    assert "1/1234.5" in filled and "1/1234.5" not in page
    differing = [pair for pair in zip(filled.splitlines(), page.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 1


def test_measured_tables_want_a_page_to_stand_in(tmp_path):
    (tmp_path / "performance.json").write_text("[]")
    with pytest.raises(UserError, match=r"^--modes report writes into '.*performance\.md', which is not there: "):
        attention.write_tables(tmp_path / "performance.json")


@pytest.mark.parametrize("text", ["", "<!-- length: python -m benchmarks.figures --><!-- end of length -->"])
def test_a_page_without_the_places_is_refused(text):
    with pytest.raises(UserError, match="no single place for 'length'"):
        figures.fill(text)
