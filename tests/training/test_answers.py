"""Spans chosen jointly, against a search over every span by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.qa.answers import Span, best_answers, window_spans
from training.qa.windows import Document


def document(text: str) -> Document:
    """One token a letter."""
    offsets = np.array([(i, i + 1) for i in range(len(text))], dtype=np.int32).reshape(-1, 2)
    return Document(text, np.arange(len(text), dtype=np.int32), offsets)


def every_span(starts, ends, longest):
    found = [
        (float(starts[i] + ends[j]), i, j) for i in range(len(starts)) for j in range(i, min(i + longest, len(ends)))
    ]
    return sorted(found, key=lambda item: -item[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 8), st.integers(1, 12), st.integers(1, 4))
def test_spans_are_the_best_of_all_spans(seed, length, longest, n_best, prefix):
    generator = torch.Generator().manual_seed(seed)
    starts, ends = (torch.randn(1, prefix + length + 3, generator=generator) for _ in range(2))
    ((spans, null),) = window_spans(starts, ends, [prefix], [7], [length], n_best, longest)
    inside = slice(prefix, prefix + length)
    expected = every_span(starts[0, inside].numpy(), ends[0, inside].numpy(), longest)[:n_best]
    assert [span.score for span in spans] == pytest.approx([score for score, _, _ in expected], rel=1e-6)
    assert [(span.start - 7, span.end - 7) for span in spans] == [(i, j) for _, i, j in expected]
    assert null == pytest.approx(float(starts[0, 0] + ends[0, 0]))


def test_separate_argmax_would_be_wrong_here():
    starts = torch.tensor([[0.0, 1.0, 9.0, 2.0]])
    ends = torch.tensor([[0.0, 9.0, 1.0, 2.0]])
    ((spans, _),) = window_spans(starts, ends, [1], [0], [3], 1, 5)
    assert (spans[0].start, spans[0].end) == (1, 2)  # 9 + 2; the two argmaxes would end before they start


def test_overlapping_windows_count_a_span_once_at_its_best():
    doc = document("abcdef")
    first = ([Span(1, 2, 3.0), Span(3, 3, 1.0)], -1.0)
    second = ([Span(1, 2, 5.0)], -4.0)
    answers = best_answers(doc, [first, second])
    assert [(a.text, a.start, a.end, a.score) for a in answers.n_best] == [("bc", 1, 3, 5.0), ("d", 3, 4, 1.0)]
    assert answers.null_score == -4.0
    total = math.exp(5) + math.exp(1) + math.exp(-4)
    assert answers.n_best[0].probability == pytest.approx(math.exp(5) / total)
    assert answers.null_probability == pytest.approx(math.exp(-4) / total)
    assert answers.null_margin == -9.0
    assert answers.text() == "bc"
    assert answers.text(-9.5) == "" and answers.text(-8.5) == "bc"


def test_white_space_at_the_ends_is_no_part_of_an_answer():
    answers = best_answers(document("a b  c"), [([Span(1, 4, 2.0), Span(3, 4, 1.0)], 0.0)])
    assert [(a.text, a.start, a.end) for a in answers.n_best] == [("b", 2, 3)]


def test_empty_document_has_no_answer():
    answers = best_answers(document(""), [([], 0.5)])
    assert answers.best is None and answers.text() == "" and answers.null_probability == 1.0
