"""`babi_far`: the facts stand in order, every span is right, and the answer is in the last of the evidence."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hub_datasets
from foundation.cli import UserError
from hub_datasets import babi_far
from hub_datasets.babi_far import BabiFar, read_stories
from hub_datasets.background import SPECIAL_TOKENS, Background

PEOPLE, PLACES = ["Mary", "John", "Sandra"], ["hallway", "garden", "office", "kitchen"]
TEXTS = {
    "en": "The sea is wide. It ends at 3.5 p.m. Is it so? Yes! ",
    "zh": "海很宽。它在三点结束。是这样吗？是的！",
    "th": "ทะเลกว้าง มันจบลงตอนบ่าย จริงหรือ ",
    "hi": "समुद्र चौड़ा है। क्या ऐसा है? हाँ। ",
}


def file_of(seed: int) -> str:
    """A file in bAbI's format: stories of questions with one to three supporting facts."""
    rng = random.Random(seed)
    lines = []
    for _ in range(rng.randint(1, 4)):
        number, facts = 0, []
        for _ in range(rng.randint(1, 5)):
            for _ in range(rng.randint(1, 4)):
                number += 1
                facts.append((number, rng.choice(PLACES)))
                lines.append(f"{number} {rng.choice(PEOPLE)} went to the {facts[-1][1]}.")
            number += 1
            *others, last = rng.sample(facts, min(len(facts), rng.randint(1, 3)))
            supports = " ".join(str(place) for place, _ in [*others, last])
            lines.append(f"{number} Where is {rng.choice(PEOPLE)}? \t{last[1]}\t{supports}")
    return "\n".join(lines) + "\n"


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(sorted(TEXTS)),
    st.integers(512, 3000),
    st.sampled_from(["train", "validation"]),
    st.integers(0, 10**6),
)
def test_facts_in_order_and_every_span_right(tmp_path_factory, story, language, tokens, split, seed):
    folder = tmp_path_factory.mktemp("babi")
    content = file_of(story)
    (folder / f"qa2_two-supporting-facts_{babi_far.FILES[split]}.txt").write_text(content)
    texts = [TEXTS[language] * (1 + number % 3) + f"({number})" for number in range(90)]
    background = Background(texts, lambda text: -(-len(text) // 2), "made up")
    made = BabiFar(language, 2, tokens, folder, seed)
    made.check()
    rows = list(made.rows(background, split, 100))
    stories = read_stories(folder / f"qa2_two-supporting-facts_{babi_far.FILES[split]}.txt")
    asked = [line for line in content.splitlines() if "\t" in line]
    assert len(stories) == len(asked)
    # Characters; a token of this tokenizer has two.
    surely = [story for story in stories if sum(map(len, story.facts)) < tokens - 200]
    assert len(surely) <= len(rows) <= len(asked)
    known = [(story.question, story.answer, tuple(story.facts[p] for p in story.supports)) for story in stories]
    for row in rows:
        context = row.context
        (answer,), (start,) = row.texts, row.answer_starts
        found = [context[a:b] for a, b in zip(row.evidence.starts, row.evidence.ends, strict=True)]
        assert (row.question, answer, tuple(found)) in known
        assert context[start : start + len(answer)] == answer
        assert row.evidence.starts[-1] <= start and start + len(answer) <= row.evidence.ends[-1]
        assert background.count(row.question) + background.count(context) + SPECIAL_TOKENS <= tokens
        assert len(context) > tokens  # a token has two characters: at least half of the tokens are real text
        # The facts of one story stand in their order, each whole. All else is real text.
        facts = re.findall(r"(?:Mary|John|Sandra) went to the \w+\.", context)
        assert any(facts == story.facts for story in stories)
        rest = re.sub(r"\s", "", re.sub(r"(?:Mary|John|Sandra) went to the \w+\.", "", context))
        assert rest
        for text in texts:
            rest = rest.replace(re.sub(r"\s", "", text), "", 1)
        assert not rest
        for a, b in zip(row.evidence.starts, row.evidence.ends, strict=True):
            assert (a == 0 or context[a - 1].isspace()) and (b == len(context) or context[b].isspace())
    assert list(made.rows(background, split, 1)) == rows[:1]


@pytest.mark.parametrize("task", [1, 2, 3, 14])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_official_files_are_read_whole(task, split, shared_data):
    stories = read_stories(babi_far.find_file(shared_data / "babi", task, split))
    assert len(stories) == (1000 if split == "validation" or task == 3 else 10_000)
    assert {len(story.supports) for story in stories} == {{1: 1, 2: 2, 3: 3, 14: 2}[task]}


@pytest.mark.parametrize(("task", "language"), [(1, "en"), (2, "de"), (3, "zh"), (14, "th")])
def test_load_dataset_scatters_them(task, language, shared_data):
    rows = hub_datasets.load_dataset(
        "babi_far", language, split="validation", task=task, tokens=4096, rows=12,
        data_dir=shared_data / "babi", background=shared_data / "xquad",
    )  # fmt: skip
    assert len(rows) == 12 and set(rows["language"]) == {language}
    far = 0
    for row in rows:
        (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(answer)] == answer
        spans = list(zip(row["evidence"]["start"], row["evidence"]["end"], strict=True))
        assert len(spans) == {1: 1, 2: 2, 3: 3, 14: 2}[task] and spans[-1][0] <= start < spans[-1][1]
        far += max(spans)[0] - min(spans)[0] > 1000
    assert far or task == 1


def test_the_official_archive_unpacked_is_found(tmp_path):
    folder = tmp_path / "tasks_1-20_v1-2" / "en-10k"
    folder.mkdir(parents=True)
    (folder / "qa1_single-supporting-fact_test.txt").write_text("1 Mary went home.\n2 Where is Mary? \thome\t1\n")
    assert read_stories(babi_far.find_file(tmp_path, 1, "validation"))[0].answer == "home"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"task": 4}, "task 4 is none of babi_far's: choose one of 1, 2, 3, 14"),
        ({"tokens": 511}, "tokens must be a whole number from 512 to 16,384, but got 511"),
        ({"tokens": 20_000}, "tokens must be a whole number from 512 to 16,384, but got 20000"),
        ({"data_dir": None}, "babi_far is made of bAbI's files: give data_dir"),
        ({"data_dir": "nowhere"}, "data_dir 'nowhere' has no qa1_single-supporting-fact_test.txt"),
        ({"parties": 3}, "parties 3 is not for babi_far: it takes task, tokens, data_dir, seed"),
        ({"streaming": True}, "streaming True is not for babi_far"),
        ({"name": "fr"}, "there is no official file of 'fr' for the split validation"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence, tmp_path):
    call = {"name": "sv", "split": "validation", "tokens": 512, "data_dir": tmp_path} | call
    with pytest.raises(UserError) as raised:
        hub_datasets.load_dataset("babi_far", **call)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    ["Mary went home.", "2 Where is Mary? \thome", "2 Where is Mary? \toffice\t1", "2 Where is Mary? \thome\t7",
     "2 Where is Mary? \thome\t"],
)  # fmt: skip
def test_a_line_out_of_format_is_named(line, tmp_path):
    (tmp_path / "qa1_single-supporting-fact_test.txt").write_text(f"1 Mary went home.\n{line}\n")
    with pytest.raises(UserError, match=r"data_dir: line 2 of .*qa1_single-supporting-fact_test\.txt' is not in bAbI"):
        read_stories(tmp_path / "qa1_single-supporting-fact_test.txt")


def test_stories_too_long_for_the_length_are_passed_over(tmp_path):
    facts = "".join(f"{number} Mary went to the kitchen.\n" for number in range(1, 300))
    (tmp_path / "qa1_single-supporting-fact_test.txt").write_text(facts + "300 Where is Mary? \tkitchen\t299\n")
    with pytest.raises(UserError, match="tokens 512 is too short for every story of the task 1: give more"):
        hub_datasets.load_dataset("babi_far", "sv", split="validation", task=1, tokens=512, data_dir=tmp_path)
