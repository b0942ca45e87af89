"""Windows, against what the tokenizers library cuts by itself."""

import itertools

import numpy as np
import pytest
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foundation.cli import UserError
from training.qa.windows import Windower, collate, token_span

from . import qa_tiny

TOKENIZERS = {
    "roberta": qa_tiny.tokenizer(),
    "bert": qa_tiny.tokenizer("<s> $A </s> $B </s>"),
}
WORD = st.sampled_from(["the", "river", "älvar", "Höhlen", "水", "\n", "🙂", "long,"])
WORDS = st.lists(WORD, max_size=60).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TOKENIZERS)), WORDS, WORDS, st.integers(16, 48), st.integers(0, 5))
def test_windows_are_those_of_the_tokenizers_library(name, question, context, max_length, stride):
    tokenizer = TOKENIZERS[name]
    assume(question and context)  # for an empty text the library leaves the separator out
    windower = Windower(tokenizer, max_length, stride, max_question_length=4)
    document = windower.document(context)
    short = tokenizer.decode(tokenizer(question, add_special_tokens=False)["input_ids"][:4])
    if len(tokenizer(short, add_special_tokens=False)["input_ids"]) > 4:
        return  # decoded and tokenised again, the cut question has other tokens
    room = max_length - len(windower.prefix(short)) - 1
    if stride >= room:
        with pytest.raises(UserError, match="doc_stride"):
            list(windower.windows(short, document))
        return
    expected = tokenizer(
        short, context, truncation="only_second", max_length=max_length, stride=stride, return_overflowing_tokens=True
    )
    windows = list(windower.windows(short, document))
    assert [window.input_ids.tolist() for window in windows] == expected["input_ids"]
    for number, window in enumerate(windows):
        sequence = expected.sequence_ids(number)
        part = [i for i, s in enumerate(sequence) if s == 1]
        assert window.document_length == len(part)
        if part:
            assert window.prefix_length == part[0]
            ids = document.ids[window.document_start : window.document_start + window.document_length]
            assert window.input_ids[part].tolist() == ids.tolist()


def test_every_document_token_is_in_a_window_and_neighbours_share_the_stride():
    windower = Windower(TOKENIZERS["roberta"], 24, 5)
    document = windower.document("the river runs over älvar and Höhlen " * 10)
    windows = list(windower.windows("over?", document))
    assert len(windows) > 3
    for left, right in itertools.pairwise(windows):
        assert left.document_start + left.document_length - right.document_start == 5
    assert windows[-1].document_start + windows[-1].document_length == len(document.ids)


def test_long_question_is_cut_and_leaves_the_document_half_a_window():
    windower = Windower(TOKENIZERS["roberta"], 32, 4, max_question_length=1000)
    windows = list(windower.windows("river " * 200, windower.document("sea " * 50)))
    assert all(len(window) <= 32 for window in windows)
    assert windows[0].document_length >= 32 - 16 - 4


def test_lowercase_keeps_offsets_even_where_a_letter_changes_length():
    text = "İSTANBUL and RIVER"
    windower = Windower(TOKENIZERS["roberta"], 32, 4, lowercase=True)
    plain = Windower(TOKENIZERS["roberta"], 32, 4)
    document = windower.document(text)
    assert document.text == text
    assert document.offsets.max() == len(text)
    assert document.ids.tolist() == plain.document("İstanbul and river").ids.tolist()


def test_token_span_covers_the_characters():
    windower = Windower(TOKENIZERS["roberta"], 32, 4)
    text = "the river runs över Höhlen"
    document = windower.document(text)
    start = text.index("över")
    first, last = token_span(document, start, start + 4)
    assert text[document.offsets[first, 0] : document.offsets[last, 1]].strip() == "över"
    assert token_span(document, 3, 3) is None
    assert token_span(windower.document(""), 0, 5) is None


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "longformer", "modernbert"])
def test_collate_gives_each_architecture_its_own_masks(architecture):
    model = qa_tiny.model(architecture, 300)
    windower = Windower(TOKENIZERS["roberta"], 32, 4)
    windows = [w for text in ("sea", "river runs " * 6) for w in windower.windows("over?", windower.document(text))]
    batch = collate(windows, model.config, 1)
    lengths = np.array([len(w) for w in windows])
    assert batch["attention_mask"].sum(1).tolist() == lengths.tolist()
    assert ("global_attention_mask" in batch) == (architecture == "longformer")
    assert ("token_type_ids" in batch) == (architecture == "bert")
    if architecture == "longformer":
        assert batch["global_attention_mask"].sum(1).tolist() == [w.prefix_length for w in windows]
    if architecture == "bert":
        assert batch["token_type_ids"].sum(1).tolist() == [len(w) - w.prefix_length for w in windows]
    assert model(**batch).start_logits.shape == batch["input_ids"].shape


@pytest.mark.parametrize("family", ["Albert", "MegatronBert", "Nystromformer", "RemBert", "SqueezeBert"])
def test_published_families_are_told_the_document_by_its_type(family):
    sizes = {**qa_tiny.SIZES, "vocab_size": 300, "embedding_size": 32, "max_position_embeddings": 64}
    model = getattr(transformers, f"{family}ForQuestionAnswering")(getattr(transformers, f"{family}Config")(**sizes))
    windower = Windower(TOKENIZERS["bert"], 32, 4)
    windows = list(windower.windows("over?", windower.document("river runs")))
    batch = collate(windows, model.config, 1)
    assert batch["token_type_ids"].sum().item() == len(windows[0]) - windows[0].prefix_length
    assert model(**batch).start_logits.shape == batch["input_ids"].shape


@pytest.mark.parametrize(("max_length", "stride", "word"), [(8, 0, "max_length"), (64, -1, "doc_stride")])
def test_windows_that_cannot_be_are_refused(max_length, stride, word):
    with pytest.raises(UserError, match=word):
        Windower(TOKENIZERS["roberta"], max_length, stride)
