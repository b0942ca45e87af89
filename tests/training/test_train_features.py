"""Training windows: their gold tokens decode to the answer; the loss is the cross-entropy, or its OR over golds."""

from types import SimpleNamespace

import pytest
import torch

from training.finetuning.batches import IGNORED, TrainCollator, gold_places, span_loss
from training.finetuning.features import NO_ANSWER, train_features
from training.qa.windows import Windower

from . import qa_tiny

TOKENIZER = qa_tiny.tokenizer()
CONFIG = SimpleNamespace(model_type="longformer", pad_token_id=1)


def row(context: str, *answers: str) -> dict:
    starts = [context.index(answer) for answer in answers]
    return {"question": "over?", "context": context, "answers": {"text": list(answers), "answer_start": starts}}


def golds(feature) -> list[str]:
    ids = feature["input_ids"]
    spans = zip(feature["starts"], feature["ends"], strict=True)
    return [TOKENIZER.decode(ids[start : end + 1]).strip() for start, end in spans if (start, end) != (0, 0)]


def test_gold_tokens_are_the_answer_in_every_window_that_holds_it():
    windower = Windower(TOKENIZER, 32, 12)
    context = (
        "long texts meet short ones where the river runs over älvar and Höhlen to a sea of words. long texts meet."
    )
    features = list(train_features([row(context, "Höhlen")], windower, negatives=100))
    windows = list(windower.windows("over?", windower.document(context)))
    assert sorted(f["input_ids"].tolist() for f in features) == sorted(w.input_ids.tolist() for w in windows)
    holding = ["Höhlen" in TOKENIZER.decode(feature["input_ids"]) for feature in features]
    assert holding.count(True) >= 2 and holding.count(False) >= 1
    assert [golds(feature) for feature in features] == [["Höhlen"] if holds else [] for holds in holding]


def test_a_window_that_repeats_the_answer_elsewhere_is_no_negative():
    windower = Windower(TOKENIZER, 32, 4)
    context = "over Höhlen. " + "long texts meet short ones " * 4 + "where Höhlen " + "long texts meet short ones " * 4
    features = list(train_features([row(context, "Höhlen")], windower, negatives=100))
    assert len(features) < len(list(windower.windows("over?", windower.document(context))))
    assert sum("Höhlen" in TOKENIZER.decode(feature["input_ids"]) for feature in features) == 1


def test_negatives_are_as_many_as_asked():
    windower = Windower(TOKENIZER, 32, 4)
    rows = [row("the river runs over älvar. " + "long texts meet short ones " * 12, "älvar")]
    for negatives in (0, 1, 3):
        features = list(train_features(rows, windower, negatives=negatives))
        assert sum(feature["starts"] == [NO_ANSWER] for feature in features) == negatives
    without = [{**rows[0], "answers": {"text": [], "answer_start": []}}]
    assert [feature["starts"] for feature in train_features(without, windower, negatives=0)] == [[NO_ANSWER]]


def test_several_golds_of_one_window_stay_together():
    windower = Windower(TOKENIZER, 48, 4)
    (feature,) = train_features([row("the river runs over älvar and Höhlen", "älvar", "Höhlen")], windower)
    assert golds(feature) == ["älvar", "Höhlen"]


def test_the_paragraph_of_the_answer_is_marked_where_it_is_whole():
    before, own, behind = "long texts meet. " * 3, "the river runs over Höhlen.", " long texts meet." * 3
    joined = {**row(before + own + behind, "Höhlen"), "paragraph": (len(before), len(before + own))}
    alone, without = row(own, "Höhlen"), {**row(own), "paragraph": (0, len(own))}
    for case, expected in ((joined, own), (alone, own), (without, "")):
        (feature,) = train_features([case], Windower(TOKENIZER, 128, 4))
        mask = TrainCollator(CONFIG, 1, positions=64)([feature])["paragraph"][0]
        assert TOKENIZER.decode(feature["input_ids"][mask.numpy()]).strip() == expected
    cut = list(train_features([joined], Windower(TOKENIZER, 16, 4), negatives=9))
    assert len(cut) > 3 and all(feature["paragraph"] == (NO_ANSWER, NO_ANSWER) for feature in cut)


def test_collator_counts_positions_as_longformer_does_and_moves_documents_only():
    windower = Windower(TOKENIZER, 32, 4)
    features = list(train_features(qa_tiny.rows(), windower))
    features = [{**feature, "place": place} for feature, place in zip(features, (0.0, 0.49, 0.51), strict=False)]
    batch = TrainCollator(CONFIG, 1, positions=64, random_positions=0.5)(features)
    native = torch.cumsum(batch["attention_mask"], 1) * batch["attention_mask"] + CONFIG.pad_token_id
    for number, feature in enumerate(features):
        prefix, length = feature["prefix_length"], feature["length"]
        ids = batch["position_ids"][number]
        assert ids[:prefix].tolist() == native[number, :prefix].tolist()
        moved = (ids - native[number])[prefix:length]
        assert len(set(moved.tolist())) == 1
        assert moved[0] == {0: 0, 1: int(0.98 * (64 - length + 1)), 2: 0}[number]
        assert ids[length - 1] <= 64 + CONFIG.pad_token_id
        assert set(ids[length:].tolist()) <= {CONFIG.pad_token_id}
    assert "position_ids" not in TrainCollator(CONFIG, 1, positions=64)(features)


def test_only_the_document_and_the_first_token_can_be_an_answer():
    windower = Windower(TOKENIZER, 32, 4)
    feature = next(iter(train_features(qa_tiny.rows(), windower)))
    allowed = TrainCollator(CONFIG, 1, positions=64)([feature])["allowed"][0].tolist()
    prefix, length = feature["prefix_length"], feature["length"]
    assert allowed == [True] + [False] * (prefix - 1) + [True] * (length - 1 - prefix) + [False]


def test_an_answer_at_the_very_end_counts_also_without_special_tokens():
    bare = qa_tiny.tokenizer("$A $B")
    (feature,) = train_features([row("the river runs over Höhlen", "Höhlen")], Windower(bare, 32, 4))
    batch = TrainCollator(CONFIG, 1, positions=64)([feature])
    assert feature["ends"] == [feature["length"] - 1] and batch["allowed"][0, -1]


def test_one_gold_is_cross_entropy():
    torch.manual_seed(0)
    outputs = SimpleNamespace(start_logits=torch.randn(3, 7), end_logits=torch.randn(3, 7))
    starts, ends = torch.tensor([[1], [0], [6]]), torch.tensor([[2], [0], [6]])
    expected = (
        torch.nn.functional.cross_entropy(outputs.start_logits, starts[:, 0])
        + torch.nn.functional.cross_entropy(outputs.end_logits, ends[:, 0])
    ) / 2
    assert span_loss(outputs, starts, ends, torch.ones(3, 7, dtype=torch.bool)).item() == pytest.approx(expected.item())


def test_several_golds_add_their_probabilities():
    logits = torch.tensor([[0.0, 1.0, 2.0, 5.0]])
    outputs = SimpleNamespace(start_logits=logits, end_logits=logits)
    allowed = torch.tensor([[True, True, True, False]])
    gold = torch.tensor([[1, 2, IGNORED]])
    p = logits[0, :3].softmax(0)
    expected = -torch.log(p[1] + p[2]).item()
    assert span_loss(outputs, gold, gold, allowed).item() == pytest.approx(expected, rel=1e-6)


def test_places_of_golds_that_share_a_start_or_an_end():
    starts, ends = (
        torch.tensor([[3, 5], [NO_ANSWER, IGNORED]]),
        torch.tensor([[4, 5, 7], [NO_ANSWER, IGNORED, IGNORED]]),
    )
    places = gold_places(starts, ends, torch.ones(2, 9, dtype=torch.bool))
    assert [row.nonzero()[:, 0].tolist() for row in places] == [[3, 4, 5, 7], [NO_ANSWER]]
