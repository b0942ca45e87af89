"""Spans chosen jointly, against a search over every span by hand."""

import math
import unicodedata
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.embedded import embedded_checkpoint
from training.corpora.load import load_qa
from training.qa.answers import Span, best_answers, window_spans
from training.qa.windows import Document, Windower, characters, token_span


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
    assert (spans[0].start, spans[0].end) == (1, 2)  # 9 + 2; the best start lies behind the best end


def test_no_span_holds_what_was_not_read():
    unread = -math.inf
    starts = torch.tensor([[0.0, 9.0, unread, 1.5, 1.0]])
    ends = torch.tensor([[0.0, 1.0, unread, 9.0, 2.0]])
    ((spans, _),) = window_spans(starts, ends, [1], [0], [4], 9, 4)
    assert [(span.start, span.end, span.score) for span in spans] == [(2, 2, 10.5), (0, 0, 10), (2, 3, 3.5), (3, 3, 3)]


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


@pytest.mark.parametrize(
    ("text", "offsets", "last", "answer"),
    [
        # Offsets of a tokenizer that composes the accent.
        ("au cafe\u0301.", [(0, 2), (3, 7), (8, 9)], 1, "cafe\u0301"),
        ("e\u0302\u0323t", [(0, 1), (3, 4)], 0, "e\u0302\u0323"),
        ("\u05e9\u05b8\u05dc", [(0, 1), (1, 2), (2, 3)], 0, "\u05e9\u05b8"),
        ("e\u0301", [(0, 1)], 0, "e\u0301"),  # at the end of the document
        ("ab", [(0, 1), (1, 2)], 0, "a"),
    ],
)
def test_a_span_takes_the_marks_that_follow(text, offsets, last, answer):
    doc = Document(text, np.arange(len(offsets), dtype=np.int32), np.array(offsets, dtype=np.int32))
    first = last if answer in text[offsets[last][0] :] else 0
    (found,) = best_answers(doc, [([Span(first, last, 1.0)], 0.0)]).n_best
    assert (found.text, text[found.start : found.end]) == (answer, answer)


def test_golds_of_decomposed_text_are_those_of_composed_text(shared_data):
    """Vietnamese XQuAD both ways: the tokens of a gold answer give the same letters."""
    from transformers import AutoTokenizer

    windower = Windower(AutoTokenizer.from_pretrained(embedded_checkpoint()), 512)
    compared = 0
    for row in load_qa("xquad", "validation", data_dir=str(shared_data / "xquad"), language="vi").select(range(80)):
        found = []
        for form in ("NFC", "NFD"):
            normal = partial(unicodedata.normalize, form)
            context, before = normal(row["context"]), normal(row["context"][: row["answers"]["answer_start"][0]])
            end = len(before) + len(normal(row["answers"]["text"][0]))
            document = windower.document(context)
            start, end = characters(document, *token_span(document, len(before), end))
            found.append(unicodedata.normalize("NFC", context[start:end]).strip())
        assert found[0] == found[1]
        compared += found[0] != unicodedata.normalize("NFD", found[0])
    assert compared > 10
