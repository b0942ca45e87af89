"""The question-answering pipeline: the old one's arguments and scores, and what was asked of it besides."""

import math
import re
import sys
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from foundation.cli import UserError
from training.qa import pipeline
from training.qa.model import add_lora, head_name, load_qa_model

from . import qa_tiny

QUESTION, CONTEXT = "Where do I live?", "My name is Wolfgang and I live in Berlin"
E = math.e


class Scripted(torch.nn.Module):
    """A model whose logits are its own business with each word: start, end; everything else 0."""

    def __init__(self, tokenizer, words):
        super().__init__()
        self.config = SimpleNamespace(model_type="bert", type_vocab_size=2, max_position_embeddings=32)
        self.device = torch.device("cpu")
        self.table = torch.zeros(len(tokenizer), 2)
        self.batches: list[tuple[int, ...]] = []
        for word, (start, end) in words.items():
            self.table[tokenizer.convert_tokens_to_ids(word)] = torch.tensor([start, end], dtype=torch.float)

    def forward(self, input_ids, attention_mask, token_type_ids):
        self.batches.append(tuple(input_ids.shape))
        logits = self.table[input_ids]
        return SimpleNamespace(start_logits=logits[..., 0], end_logits=logits[..., 1])


def scripted(words, *texts, **options):
    """A pipeline of `Scripted`: a token is a word or a sign, between [CLS] and [SEP]."""
    split = pre_tokenizers.BertPreTokenizer()
    found = {word for text in (QUESTION, CONTEXT, *texts) for word, _ in split.pre_tokenize_str(text)}
    backend = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(["[CLS]", "[SEP]", "[PAD]", "[UNK]", *sorted(found)])}, "[UNK]")
    )
    backend.pre_tokenizer = split
    backend.post_processor = processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )
    return pipeline(Scripted(tokenizer, words), tokenizer=tokenizer, **options)


def test_the_old_documentations_example_with_its_score_by_hand():
    qa = scripted({"Berlin": (2, 2), "Wolfgang": (1, 1)})
    # 9 words and [CLS]: e^2 + e + 8 for the starts, and the same for the ends.
    total = E**2 + E + 8
    answer = qa(question=QUESTION, context=CONTEXT)
    assert answer == {"score": pytest.approx((E**2 / total) ** 2), "start": 34, "end": 40, "answer": "Berlin"}
    assert list(answer) == ["score", "start", "end", "answer"]
    assert isinstance(answer["score"], float) and isinstance(answer["start"], int)


def test_top_k_and_max_answer_len_by_hand():
    qa = scripted({"Berlin": (2, 2), "Wolfgang": (1, 1)}, top_k=3)
    total = E**2 + E + 8
    three = qa(question=QUESTION, context=CONTEXT, max_answer_len=1)
    assert [(a["answer"], a["start"], a["end"]) for a in three[:2]] == [("Berlin", 34, 40), ("Wolfgang", 11, 19)]
    assert [a["score"] for a in three] == pytest.approx([E**4 / total**2, E**2 / total**2, 1 / total**2])
    # From "Wolfgang" (start 1) to "Berlin" (end 2) are six words; with five allowed no span has both.
    assert [a["answer"] for a in qa(question=QUESTION, context=CONTEXT, max_answer_len=6)][1] == CONTEXT[11:40]
    assert CONTEXT[11:40] not in [a["answer"] for a in qa(question=QUESTION, context=CONTEXT, max_answer_len=5)]
    assert isinstance(qa(question=QUESTION, context=CONTEXT, top_k=1), dict)
    assert len(qa(question=QUESTION, context="Berlin", top_k=5)) == 4  # top_k=1 would give a dictionary


def test_the_same_answer_in_two_places_is_one_answer_with_both_scores():
    text = "Berlin is not berlin."
    qa = scripted({"Berlin": (2, 2), "berlin": (1, 1)}, text, max_answer_len=1)
    total = E**2 + E + 4  # is, not, full stop, [CLS]
    answer = qa(question=QUESTION, context=text)
    assert answer == {"score": pytest.approx((E**4 + E**2) / total**2), "start": 0, "end": 6, "answer": "Berlin"}
    assert qa(question=QUESTION, context=text, places=True)["places"] == [
        {"start": 0, "end": 6},
        {"start": 14, "end": 20},
    ]


def test_an_impossible_answer_competes_only_when_asked():
    qa = scripted({"[CLS]": (3, 3), "Berlin": (2, 2)})
    total = E**3 + E**2 + 8
    assert qa(question=QUESTION, context=CONTEXT)["answer"] == "Berlin"
    assert qa(question=QUESTION, context=CONTEXT)["score"] == pytest.approx(E**4 / total**2)
    empty = {"score": pytest.approx(E**6 / total**2), "start": 0, "end": 0, "answer": ""}
    assert qa(question=QUESTION, context=CONTEXT, handle_impossible_answer=True) == empty
    both = qa(question=QUESTION, context=CONTEXT, handle_impossible_answer=True, top_k=2, sentence=True, places=True)
    assert (both[0]["sentence"], both[0]["places"]) == (None, []) and both[1]["answer"] == "Berlin"


def test_windows_share_one_softmax_so_that_scores_never_exceed_one():
    text = " ".join(["water"] * 30 + ["Berlin"] + ["water"] * 30)
    qa = scripted({"[CLS]": (0, 0), "Berlin": (4, 4)}, text, max_answer_len=1)
    # 61 words in windows of 16: 10 a window beside [CLS], five words of question and two [SEP], 2 of them shared.
    answer = qa(question="Where do I live", context=text, max_seq_len=17, doc_stride=2)
    assert len(qa.model.batches) == 8 and set(qa.model.batches) <= {(1, n) for n in range(8, 18)}
    total = E**4 + 61  # sixty words that are not Berlin, and "no answer" once
    assert answer == {"score": pytest.approx((E**4 / total) ** 2), "start": 180, "end": 186, "answer": "Berlin"}
    water = qa(question="Where do I live", context=text, max_seq_len=17, doc_stride=2, top_k=2)[1]
    assert water["answer"] == "water" and water["score"] == pytest.approx(60 / total**2)


def test_a_long_question_is_cut():
    qa = scripted({"Berlin": (2, 2)})
    qa(question=" ".join(["Where"] * 30), context=CONTEXT, max_question_len=3)
    assert qa.model.batches == [(1, 1 + 3 + 1 + 9 + 1)]


def test_windows_of_several_questions_share_a_batch():
    texts = [CONTEXT, "Berlin", CONTEXT, "Berlin Berlin", "My Berlin"]
    qa = scripted({"Berlin": (2, 2)}, *texts)
    alone = [qa(question=QUESTION, context=text, top_k=2) for text in texts]
    qa.model.batches.clear()
    assert qa(question=QUESTION, context=texts, top_k=2, batch_size=2) == alone
    assert [rows for rows, _ in qa.model.batches] == [2, 2, 1]


def test_every_way_to_hand_over_examples():
    qa = scripted({"Berlin": (2, 2), "Wolfgang": (1, 1)})
    one = qa(question=QUESTION, context=CONTEXT)
    example = {"question": QUESTION, "context": CONTEXT}
    squad = SimpleNamespace(question_text=QUESTION, context_text=CONTEXT)
    for given in ((QUESTION, CONTEXT), (example,), ([example],), (squad,), ((example,),)):
        assert qa(*given) == one
    assert qa(example, squad) == qa([example, squad]) == [one, one]
    assert qa(question=[QUESTION], context=[CONTEXT]) == one
    assert qa(question=[QUESTION, QUESTION], context=CONTEXT) == [one, one]
    assert qa(question=QUESTION, context=[CONTEXT, CONTEXT]) == [one, one]
    assert qa(question=[QUESTION, QUESTION], context=[CONTEXT, "Berlin"])[1]["end"] == 6
    assert qa([]) == []


def test_an_iterator_is_read_as_it_is_asked():
    qa = scripted({"Berlin": (2, 2)})
    taken = []

    def examples():
        for number in range(100):
            taken.append(number)
            yield {"question": QUESTION, "context": CONTEXT}

    results = qa(examples(), batch_size=2)
    assert taken == [] and next(results)["answer"] == "Berlin" and len(taken) == 2


def test_answers_are_aligned_to_whole_words(tmp_path):
    """Tokens of the tiny model are pieces of words: what stands between two edges that no word crosses is whole."""
    qa = pipeline(str(qa_tiny.checkpoint(tmp_path)), top_k=20)
    context = qa_tiny.rows()[0]["context"]
    whole = qa(question="over?", context=context)
    bare = qa(question="over?", context=context, align_to_words=False)
    words = {(m.start(), m.end()) for m in re.finditer(r"\w+", context)}
    starts, ends = {start for start, _ in words}, {end for _, end in words}

    def cut(answer):
        text = answer["answer"]
        return (text[0].isalnum() and answer["start"] not in starts) or (
            text[-1].isalnum() and answer["end"] not in ends
        )

    assert any(map(cut, bare)) and not any(map(cut, whole))
    for answer in [*whole, *bare]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "longformer", "modernbert"])
def test_scores_are_the_old_pipelines_on_any_architecture(tmp_path, architecture):
    """One window: softmax over context and first token, outer product, upper triangle, as the old code had it."""
    model, tokenizer = load_qa_model(str(qa_tiny.checkpoint(tmp_path, architecture)))
    with torch.no_grad():
        for parameter in getattr(model, head_name(model)).parameters():
            parameter.mul_(40)  # makes the model sure, so that a few spans have nearly all the probability
    model.save_pretrained(tmp_path)
    qa = pipeline("question-answering", model=tmp_path, device=-1)
    row = qa_tiny.rows()[3]
    encoded = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
    inside = [n for n, s in enumerate(encoded.sequence_ids(0)) if s == 1]
    offsets = encoded.pop("offset_mapping")[0]
    encoded.pop("token_type_ids", None)
    if architecture == "bert":
        encoded["token_type_ids"] = torch.zeros_like(encoded["input_ids"])
        encoded["token_type_ids"][0, inside[0] :] = 1
    if architecture == "longformer":
        encoded["global_attention_mask"] = torch.zeros_like(encoded["input_ids"])
        encoded["global_attention_mask"][0, : inside[0]] = 1
    with torch.no_grad():
        outputs = model(**encoded)
    start, end = (
        np.exp(logits[0, [0, *inside]].double().numpy()) for logits in (outputs.start_logits, outputs.end_logits)
    )
    start, end = start / start.sum(), end / end.sum()
    spans = np.tril(np.triu(np.outer(start[1:], end[1:])), 3)
    expected: dict[str, float] = defaultdict(float)
    for i, j in zip(*np.nonzero(spans), strict=True):
        text = row["context"][offsets[inside[i]][0] : offsets[inside[j]][1]]
        if text.strip():
            expected[text.strip().lower()] += spans[i, j]
    ranked = sorted(expected, key=lambda text: -expected[text])[:3]
    found = qa(row["question"], row["context"], max_answer_len=4, align_to_words=False, top_k=3)
    assert [answer["answer"].lower() for answer in found] == ranked
    assert [answer["score"] for answer in found] == pytest.approx([expected[text] for text in ranked], abs=1e-3)


def test_it_reads_whole_as_far_as_the_model_goes(tmp_path):
    """Without max_seq_len a window is as long as the model's positions, not 384 tokens."""
    qa = pipeline(str(qa_tiny.checkpoint(tmp_path)))
    windows = []
    read = qa._read
    qa._read = lambda batch, most: (windows.extend(len(window) for _, window in batch), read(batch, most))
    qa("over?", qa_tiny.rows()[0]["context"] * 6)
    assert max(windows) == qa_tiny.POSITIONS and len(windows) > 1


def test_bfloat16_is_asked_for_or_measured(tmp_path, monkeypatch):
    folder, row = str(qa_tiny.checkpoint(tmp_path)), qa_tiny.rows()[0]

    def dtype_and_score(bf16):
        qa, seen = pipeline(folder, bf16=bf16), []
        qa.model.qa_outputs.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        return qa(row)["score"], set(seen)

    whole, seen = dtype_and_score(False)
    assert seen == {torch.float32}
    for pays in (True, False):
        # In the package the function `pipeline` hides the module of that name.
        monkeypatch.setattr(sys.modules[pipeline.__module__], "bfloat16_pays", lambda device, pays=pays: pays)
        score, seen = dtype_and_score("auto")
        assert seen == {torch.bfloat16 if pays else torch.float32}
        assert score == pytest.approx(whole, rel=0.1 if pays else 1e-9)
    assert dtype_and_score(True)[1] == {torch.bfloat16}


def test_a_loaded_model_and_an_adapter_answer_as_their_folders_do(tmp_path):
    folder = qa_tiny.checkpoint(tmp_path / "model")
    row = qa_tiny.rows()[0]
    model, tokenizer = load_qa_model(str(folder))
    assert pipeline(model=model, tokenizer=tokenizer)(row) == pipeline(str(folder))(row)
    with pytest.raises(UserError, match="give tokenizer="):
        pipeline(model)
    arguments = SimpleNamespace(
        model_name_or_path=str(folder), revision=None, lora_r=2, lora_alpha=None, lora_dropout=0.0
    )
    wrapped = add_lora(model, arguments)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    wrapped.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    of_adapter = pipeline(str(tmp_path / "adapter"))(row)
    assert of_adapter == pipeline(str(folder), adapter=str(tmp_path / "adapter"))(row)
    assert of_adapter["score"] != pytest.approx(pipeline(str(folder))(row)["score"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "no question was given"),
        ({"question": "a"}, "no context was given"),
        ({"question": "a", "context": ""}, "the context of an example is empty"),
        ({"question": " ", "context": "a"}, "the question of an example is empty"),
        ({"question": ["a", "b"], "context": ["a"]}, "question holds 2 and context 1"),
        ({"question": 3, "context": "a"}, "the question of an example is 3: give a string"),
        ({"question": "a", "context": [None]}, "the context of an example is None"),
        ({"question": "a", "context": "b", "top_k": 0}, "top_k=0 is no whole number from 1 up"),
        ({"question": "a", "context": "b", "top_k": True}, "top_k=True is no whole number"),
        ({"question": "a", "context": "b", "max_answer_len": 0}, "max_answer_len=0"),
        ({"question": "a", "context": "b", "batch_size": "8"}, "batch_size='8'"),
        ({"question": "a", "context": "b", "doc_stride": -1}, "doc_stride=-1"),
        ({"question": "a", "context": "b", "max_seq_len": 8}, "max_seq_len=8 is no whole number from 16 up"),
        ({"question": "a", "context": "b", "max_seq_len": 99}, "max_seq_len 99 is above the 32 tokens"),
        ({"question": "a", "context": "b", "doc_stride": 31}, "doc_stride 31 is not smaller .* max_seq_len"),
        ({"question": "a", "context": "b", "topk": 3}, "no argument 'topk': did you mean top_k?"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(arguments, sentence):
    qa = scripted({})
    with pytest.raises(UserError, match=sentence):
        qa(**arguments)


def test_bad_examples_and_bad_models_are_one_sentence(tmp_path):
    qa = scripted({})
    for given, sentence in (
        ("a", "'a' is no example"),
        ([3], "3 is no example"),
        ({"question": "a"}, "the context of an example is None"),
    ):
        with pytest.raises(UserError, match=sentence):
            qa(given)
    with pytest.raises(UserError, match="exclude each other"):
        qa({"question": "a", "context": "b"}, question="a")
    with pytest.raises(UserError, match="task='summarization' is not 'question-answering'"):
        pipeline("summarization", model="x")
    with pytest.raises(UserError, match="no model was named"):
        pipeline("question-answering")
    with pytest.raises(UserError, match=r"^model '.*nowhere' cannot be loaded"):
        pipeline(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="bf16='yes' is none: give True, False or 'auto'"):
        pipeline("x", bf16="yes")
    with pytest.raises(UserError, match="device='abacus' is none"):
        pipeline(str(qa_tiny.checkpoint(tmp_path)), device="abacus")
