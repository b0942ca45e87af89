"""`terms`: every chain holds, nothing but the chain tells the answer, and the languages' sentences are sound."""

import random
import re
from collections import Counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import hub_datasets
from foundation.cli import UserError
from hub_datasets.background import SPECIAL_TOKENS, Background
from hub_datasets.terms import LANGUAGES, Terms, templates

WORDS = [
    "the river runs",
    "over 1881 old",
    "stones and in",
    "36 years",
    "nobody saw",
    "Lyon or",
    "里昂 or Лион",
    "again.",
]


COUNTERS = {"characters": len, "words": lambda text: len(text.split()), "fours": lambda text: -(-len(text) // 4)}


def made_up(seed: int, count: str) -> Background:
    """Paragraphs with numbers and cities in them."""
    rng = random.Random(seed)
    texts = [f"{n}. " + " ".join(rng.choices(WORDS, k=rng.randint(1, 25))) for n in range(rng.randint(20, 40))]
    return Background(texts, COUNTERS[count], "made up")


def spans(row):
    return list(zip(row.evidence.starts, row.evidence.ends, strict=True))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(sorted(COUNTERS)),
    st.sampled_from(LANGUAGES),
    st.integers(2, 6),
    st.sampled_from([2, 3]),
    st.sampled_from(["train", "validation"]),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_every_row_is_a_chain_that_only_the_whole_document_tells(
    texts, count, language, parties, hops, split, seed, by_tokens
):
    background = made_up(texts, count)
    length = {"tokens": sum(background.lengths)} if by_tokens else {"paragraphs": len(background.texts)}
    terms = Terms(language, parties, hops, **length, seed=seed)
    terms.check()
    try:
        rows = list(terms.rows(background, split, 2))
    except UserError as error:
        assert re.search("too short: the definitions|too short: question and evidence", str(error))
        event("too short")
        return
    known = templates(language)
    for row in rows:
        context = row.context
        (answer,), (start,) = row.texts, row.answer_starts
        assert context[start : start + len(answer)] == answer
        # A guess is right once in `parties` times: the answer's number stands once, as do those of the other duties.
        assert Counter(re.findall(r"\d+", context))[answer] == 1
        found = spans(row)
        assert len(found) == hops
        first, last = found[:-1], found[-1]
        assert last[0] <= start and start + len(answer) <= last[1]
        # Definitions in the first third, duties in the last.
        assert all(3 * end <= len(context) for _, end in first)
        assert 3 * last[0] >= 2 * len(context)
        # The chain of evidence goes from a place over a name, if there are three hops, to a role and its duty.
        city = next(city for city in known["cities"] if city in row.question)
        role = next(role for role in known["roles"] if role in context[slice(*last)])
        assert city in context[slice(*first[0])] and role in context[slice(*first[-1])]
        assert context.count(city) == 1
        names = set(re.findall(r"[A-Z][a-z]+", " ".join(context[slice(*span)] for span in first)))
        if hops == 3:
            shared = [name for name in names if all(name in context[slice(*span)] for span in first)]
            assert any(name not in city for name in shared)
        # Each evidence span is a paragraph of its own, and the paragraphs around are real ones.
        pieces = context.split("\n\n")
        assert all(context[slice(*span)] in pieces for span in found)
        real = [piece for piece in pieces if piece in background.texts]
        sentences = parties * hops
        assert len(pieces) == len(real) + sentences and len(set(real)) == len(real)
        if by_tokens:
            whole = background.count(row.question) + background.count(context) + SPECIAL_TOKENS
            assert whole <= terms.tokens
        else:
            assert len(real) == terms.paragraphs
    # A row does not depend on how many there are.
    assert list(terms.rows(background, split, 1)) == rows[:1]


@pytest.fixture(scope="module")
def plain():
    return Background([f"Paragraph {'abc'[n % 3] * (n + 5)} of the text. " * 4 for n in range(60)], len, "plain")


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_and_validation_share_neither_names_nor_numbers(plain, language):
    used = {}
    for split in ("train", "validation"):
        rows = list(Terms(language, 6, 3, tokens=7000).rows(plain, split, 60))
        text = "\n".join(
            piece for row in rows for piece in row.context.split("\n\n") if not piece.startswith("Paragraph")
        )
        used[split] = set(re.findall(r"\d+", text)), set(re.findall(r"\b[A-Z][a-z]+(?=公司|\b)", text))
    numbers = [each[0] for each in used.values()]
    assert all(len(each) > 100 for each in numbers) and not numbers[0] & numbers[1]
    from hub_datasets.terms import _NAMES

    names = [each[1] & set(_NAMES) for each in used.values()]
    assert all(len(each) > 100 for each in names) and not names[0] & names[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_number_asked_for_is_any_of_the_duties(plain, language):
    """Neither the place of the duty, nor its size, nor the order of definitions tells which party is meant."""
    places, ranks = Counter(), Counter()
    for row in Terms(language, 3, 2, tokens=4000, seed=7).rows(plain, "train", 300):
        pieces = [piece for piece in row.context.split("\n\n") if not piece.startswith("Paragraph")]
        duties = [int(re.search(r"\d+", piece)[0]) for piece in pieces[3:]]
        assert len(duties) == 3
        places[duties.index(int(row.texts[0]))] += 1
        ranks[sorted(duties).index(int(row.texts[0]))] += 1
    # 100 of each are expected, and five standard deviations are 41.
    assert all(abs(count - 100) < 42 for counted in (places, ranks) for count in counted.values())
    assert len(places) == len(ranks) == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_sentence_in_four_wordings(language):
    known = templates(language)
    wanted = {
        "definitions": {"name", "city", "role"},
        "places": {"name", "city"},
        "namings": {"name", "role"},
        "companies": {"city"},
        "frames": {"role", "act"},
    }
    for kind, fields in wanted.items():
        assert len(set(known[kind])) >= 4, kind
        for sentence in known[kind]:
            assert sorted(re.findall(r"{(\w+)}", sentence)) == sorted(fields), sentence
    assert len(known["duties"]) >= 4
    for duty in known["duties"].values():
        assert re.findall(r"{(\w+)}", duty["act"]) == ["number"]
        assert len(duty["asks"]) * len(known["companies"]) >= 4
        assert all(re.findall(r"{(\w+)}", ask) == ["company"] for ask in duty["asks"])
    # No value may be a part of another value of its kind, or a search would find both.
    for kind in ("cities", "roles"):
        values = known[kind]
        assert len(set(values)) == len(values) >= (12 if kind == "cities" else 6)
        assert not [(a, b) for a in values for b in values if a != b and a in b], kind
    assert not re.search(r"\d", str(known).replace("'", ""))
    # A sentence ends as sentences of its language do, and has no doubled or loose spaces.
    end = {"hi": "।", "zh": "。", "th": ""}.get(language, ".")
    question_end = {"el": ";", "ar": "؟", "zh": "？", "th": ""}.get(language, "?")
    for kind in ("definitions", "places", "namings", "frames"):
        assert all(sentence.endswith(end) for sentence in known[kind])
    asks = [ask for duty in known["duties"].values() for ask in duty["asks"]]
    assert all(ask.endswith(question_end) for ask in asks)
    texts = [*(text for kind in wanted for text in known[kind]), *asks, *(d["act"] for d in known["duties"].values())]
    assert not [text for text in texts if re.search(r"\s{2}|^\s|\s$| [.,?;]", text)]


def test_cities_want_no_case():
    """Russian declines most names after `в городе`, Turkish adds endings: `Осло` and `Oslo şehri` stand as they are."""
    assert all(city[-1] in "оеиу" for city in templates("ru")["cities"])
    inflected = [text for text in _strings(templates("tr")) if re.search(r"{(city|role|name)}['’\w]", text)]
    assert not inflected


NAMES = {
    "Arabic": "ar", "German": "de", "Greek": "el", "English": "en", "Spanish": "es", "Hindi": "hi", "Romanian": "ro",
    "Russian": "ru", "Swedish": "sv", "Thai": "th", "Turkish": "tr", "Vietnamese": "vi", "Chinese": "zh",
}  # fmt: skip


def test_the_page_of_examples_shows_these_sentences():
    from tests.conftest import ROOT

    page = (ROOT / "docs" / "terms_examples.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (\w+)\n", page, flags=re.MULTILINE)[1:]
    assert {NAMES[name] for name in sections[::2]} == set(LANGUAGES)
    for name, section in zip(sections[::2], sections[1::2], strict=True):
        known = templates(NAMES[name])
        acts = [frame.replace("{act}", duty["act"]) for frame in known["frames"] for duty in known["duties"].values()]
        asks = [
            ask.replace("{company}", company)
            for duty in known["duties"].values() for ask in duty["asks"] for company in known["companies"]
        ]  # fmt: skip
        sentences = [*(text for kind in ("definitions", "places", "namings") for text in known[kind]), *acts]
        shown = [line[2:].removesuffix("\\") for line in section.splitlines() if line.startswith("> ")]
        asked = re.findall(r"^(.*) \*\*\d+\*\*$", section, flags=re.MULTILINE)
        assert (len(shown), len(asked)) == (12, 5)
        for text, wordings in ((shown, sentences), (asked, asks)):
            made = "|".join(re.sub(r"\\{\w+\\}", ".+", re.escape(wording)) for wording in wordings)
            assert not [each for each in text if not re.fullmatch(made, each)], name


SCRIPTS = {
    "ar": "\u0600-\u06ff", "el": "\u0370-\u03ff\u1f00-\u1fff", "hi": "\u0900-\u097f", "ru": "\u0400-\u04ff",
    "th": "\u0e00-\u0e7f", "zh": "\u4e00-\u9fff",
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_written_in_its_own_script(language):
    letters = re.sub(r"{\w+}", "", " ".join(_strings(templates(language))))
    if language in SCRIPTS:
        assert not re.search("[A-Za-z]", letters)
        assert len(re.findall(f"[{SCRIPTS[language]}]", letters)) > 0.7 * len(re.sub(r"\s", "", letters)) - 50
    else:
        assert not re.search("[\u0370-\u0fff\u4e00-\u9fff]", letters)


def _strings(value):
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [text for each in values for text in _strings(each)]


def test_load_dataset_gives_squad_columns_and_evidence(shared_data):
    file = shared_data / "xquad" / "xquad.de.json"
    call = {"tokens": 4096, "background": file, "rows": 8}
    rows = hub_datasets.load_dataset("terms", "de", split="validation", **call)
    assert rows.column_names == ["id", "title", "context", "question", "answers", "language", "evidence"]
    assert len(rows) == 8 and set(rows["language"]) == {"de"} and len(set(rows["id"])) == 8
    for row in rows:
        (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(answer)] == answer
        assert row["evidence"].keys() == {"start", "end"} and len(row["evidence"]["start"]) == 2
        assert 0.93 * 4096 < len(row["context"]) / 4.29 <= 4096
    both = hub_datasets.load_dataset("terms", "de", tokens=4096, background={"validation": file}, rows=8)
    assert list(both) == ["validation"] and both["validation"].to_list() == rows.to_list()
    again = hub_datasets.load_dataset("terms", "de", split="validation", seed=43, **call)
    assert again["context"] != rows["context"]
    # A folder of official files holds every language.
    folder = hub_datasets.load_dataset("terms", "el", split="validation", background=file.parent, rows=2, parties=6)
    assert len(folder) == 2


def test_swedish_stands_in_the_sample_corpus():
    rows = hub_datasets.load_dataset("terms", "sv", split="validation", tokens=1024, rows=3)
    assert "Vasa" in " ".join(rows["context"]) and set(rows["language"]) == {"sv"}


def test_tokens_are_those_of_the_tokenizer(shared_data):
    from conversion.named import resolve

    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve("embedded"))
    for language in ("en", "zh"):
        file = shared_data / "xquad" / f"xquad.{language}.json"
        estimated = hub_datasets.load_dataset("terms", language, split="validation", background=file, rows=4)
        exact = hub_datasets.load_dataset(
            "terms", language, split="validation", background=file, rows=4, tokenizer=tokenizer
        )
        for rows, least, most in ((exact, 3990, 4096), (estimated, 3500, 4600)):
            for row in rows:
                both = tokenizer(row["question"], row["context"], verbose=False)["input_ids"]
                assert least <= len(both) <= most, (language, len(both))


LONG = {"background": "LONG"}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"name": "fi"}, "language 'fi' has no templates of terms: choose one of ar, de, el, en"),
        ({"parties": 7}, "parties must be a whole number from 2 to 6, but got 7"),
        ({"parties": 1}, "parties must be a whole number from 2 to 6, but got 1"),
        ({"parties": True}, "parties must be a whole number from 2 to 6, but got True"),
        ({"hops": 4}, "hops must be 2 or 3, but got 4"),
        ({"tokens": 60, **LONG}, "tokens 60 is too short: question and evidence of 3 parties take"),
        ({"tokens": 300, "parties": 6, "hops": 3, **LONG}, "tokens 300 is too short"),
        ({"paragraphs": 2, "parties": 6, "hops": 3, **LONG}, "paragraphs 2 is too short: the definitions of 6 parties"),
        ({"tokens": 9999, **LONG}, "has 18 paragraphs of"),
        ({"paragraphs": 19, **LONG}, "too few for paragraphs=19: give a longer file, or fewer paragraphs"),
        ({"tokens": 0}, "tokens must be a whole number from 1 up, but got 0"),
        ({"tokens": "4k"}, "tokens must be a whole number from 1 up, but got '4k'"),
        ({"tokens": 512, "paragraphs": 3}, "tokens 512 and paragraphs 3 both say how long: give one"),
        ({"rows": 0}, "rows must be a whole number from 1 up, but got 0"),
        ({"split": "test"}, "split 'test' is not in terms: choose one of train, validation"),
        ({"nr_concats": 12}, "nr_concats 12 is not for terms: it takes parties, hops, tokens, paragraphs, seed"),
        ({"task": 2}, "task 2 is not for terms"),
        ({"background": "nowhere.json"}, "background 'nowhere.json' is not a file: check the path"),
        ({"background": []}, r"background [] names no file"),
        ({"background": {"train": "x"}}, "background names no file for the split 'validation': it has train"),
        ({"split": "train", "name": "de"}, "there is no official file of 'de' for the split train"),
        ({"tokenizer": "nowhere/at/all", **LONG}, "tokenizer 'nowhere/at/all' cannot be loaded"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    from tests.conftest import ROOT

    call = {"name": "en", "split": "validation"} | call
    if call.get("background") == "LONG":
        call["background"] = ROOT / "hub_datasets" / "sample" / "sample.en.json"
    with pytest.raises(UserError) as raised:
        hub_datasets.load_dataset("terms", **call)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_bad_backgrounds_are_one_sentence(tmp_path, shared_data):
    (tmp_path / "no.json").write_text('{"data": []}')
    with pytest.raises(UserError, match=r"no\.json' holds no paragraph"):
        hub_datasets.load_dataset("terms", "en", split="validation", background=tmp_path / "no.json")
    (tmp_path / "bad.json").write_text('{"data": [')
    with pytest.raises(UserError, match=r"background .*bad\.json is not JSON"):
        hub_datasets.load_dataset("terms", "en", split="validation", background=tmp_path / "bad.json")
    with pytest.raises(UserError, match=r"has no xquad\.de\.json"):
        hub_datasets.load_dataset("terms", "de", split="validation", background=tmp_path)
    with pytest.raises(UserError, match="is XQuAD's, which the split validation is made of"):
        hub_datasets.load_dataset("terms", "de", split="train", background=shared_data / "xquad" / "xquad.de.json")
    # The file of SQuAD's first 44 articles is taken in place of the whole.
    rows = hub_datasets.load_dataset("terms", "en", split="train", background=shared_data / "squad", rows=2)
    assert len(rows) == 2


def test_what_is_generated_is_nothing_to_the_others():
    with pytest.raises(UserError, match="parties 3 is for terms and babi_far, not for squad_long: leave it out"):
        hub_datasets.load_dataset("squad_long", parties=3)
