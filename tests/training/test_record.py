"""scores.json has one layout, checked by whoever reads it."""

import json

import pytest

from foundation.cli import UserError
from training.scoring.record import of_xquad, read_scores, write_scores

GOOD = {"run": {"dataset": "xquad"}, "languages": {"sv": {"questions": 9, "exact_match": 50, "f1": 60.5}}}


def test_what_was_written_is_read(tmp_path):
    assert read_scores(write_scores(tmp_path, GOOD), "--scores") == GOOD
    assert of_xquad(GOOD) == GOOD["languages"]
    for run in ({"dataset": "xq3"}, {"dataset": "xquad", "nr_concats": 3}, {"dataset": "mlqa"}):
        assert of_xquad({**GOOD, "run": run}) is None


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        # The layout of older releases.
        ({"xquad": {"sv": {"exact_match": 50.0, "f1": 60.0}}}, "run.dataset is missing"),
        ({"run": {"dataset": "xquad"}}, "languages is missing"),
        ({**GOOD, "languages": {"sv": {"exact_match": 50.0, "f1": 60.0}}}, r"languages\.sv\.questions is None"),
        ({**GOOD, "languages": {"sv": {"questions": 9, "exact_match": 50.0, "f1": "60"}}}, r"sv\.f1 is '60'"),
        ({**GOOD, "languages": {"sv": {"questions": 9, "exact_match": 500, "f1": 60}}}, r"sv\.exact_match is 500"),
        ({**GOOD, "languages": {"sv": 3}}, r"languages\.sv\.questions is None"),
    ],
)
def test_another_layout_is_refused_and_says_where(tmp_path, content, wrong):
    (tmp_path / "scores.json").write_text(json.dumps(content))
    with pytest.raises(
        UserError,
        match=rf"^--scores .* is no scores\.json of score\.py \(.*{wrong}\): give its own file, or another folder$",
    ):
        read_scores(tmp_path / "scores.json", "--scores")
