"""Official layouts become SQuAD-format files: every answer and evidence at its place, what cannot be placed counted."""

import gzip
import json
import subprocess
import sys

import pytest

from foundation.cli import UserError
from hub_datasets.to_squad import to_squad
from tests.conftest import ROOT


def questions(content):
    """Id -> (context, question), every span checked."""
    found = {}
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for qa in paragraph["qas"]:
                assert all(context.startswith(a["text"], a["answer_start"]) for a in qa["answers"])
                assert qa["id"] not in found
                found[qa["id"]] = context, qa
    return found


def evidence(context, qa):
    return [context[a:b] for a, b in zip(qa["evidence"]["start"], qa["evidence"]["end"], strict=True)]


@pytest.fixture
def tales(tmp_path):
    asked = tmp_path / "data-by-train-split" / "questions" / "val"
    told = tmp_path / "data-by-train-split" / "section-stories" / "val"
    asked.mkdir(parents=True)
    told.mkdir(parents=True)
    (told / "fox-story.csv").write_text(
        'section,text\n1,"A fox met a ""hen"",\nwho ran."\n2,The fox slept under an old\n3,"An old\noak fell."\n'
    )
    (asked / "fox-questions.csv").write_text(
        "question_id,cor_section,question,answer1,answer2,answer4\n"
        '1,1,Who ran?,a "hen",a fox,\n'
        "2,3,What fell?,An old oak.,,an oak\n"
        '3,"1,2",Who slept?,the fox,,A fox\n'
        "4,1,Who slept?,the dog,,\n"
        "5,2,Who ran?,he,,\n"
    )
    return tmp_path


def test_fairytaleqa(tales):
    content, left_out = to_squad("fairytaleqa", tales, "val")
    found = questions(content)
    # "he" stands only inside "The", so it is left out.
    assert list(found) == ["fox-1", "fox-2", "fox-3"] and left_out == 2
    context, first = found["fox-1"]
    assert context == 'A fox met a "hen",\nwho ran.\n\nThe fox slept under an old\n\nAn old\noak fell.'
    assert [a["text"] for a in first["answers"]] == ["A fox", 'a "hen"']
    assert evidence(context, first) == ['A fox met a "hen",\nwho ran.']
    # An answer may run over the end of a line. A place in another section does not count.
    assert [a["text"] for a in found["fox-2"][1]["answers"]] == ["An old\noak"]
    assert [a["text"] for a in found["fox-3"][1]["answers"]] == ["A fox", "The fox"]
    assert len(evidence(*found["fox-3"])) == 2
    assert to_squad("fairytaleqa", tales / "data-by-train-split", "val") == (content, left_out)


def test_timeqa(tmp_path):
    rows = [
        {"idx": "/wiki/A_House#P1#0", "question": "Who?", "context": "Ann , then Bob .", "targets": ["Ann", "Bob"],
         "from": [0, 11], "end": [3, 14]},
        {"idx": "/wiki/A_House#P1#1", "question": "When?", "context": "Ann , then Bob .", "targets": [""], "from": [0],
         "end": [0]},
        {"idx": "/wiki/A_House#P1#2", "question": "Where?", "context": "Ann , then Bob .", "targets": ["Ann"],
         "from": [3], "end": [6]},
    ]  # fmt: skip
    file = tmp_path / "human_train.easy.json.gzip"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    content, left_out = to_squad("timeqa", file)
    found = questions(content)
    assert list(found) == ["/wiki/A_House#P1#0-easy", "/wiki/A_House#P1#1-easy"] and left_out == 1
    assert content["version"] == "v2.0" and content["data"][0]["title"] == "A House"
    assert [a["text"] for a in found["/wiki/A_House#P1#0-easy"][1]["answers"]] == ["Ann", "Bob"]
    assert found["/wiki/A_House#P1#1-easy"][1]["is_impossible"] is True


def hops(identifier, answer, chain, **more):
    titles = ["Rome", "Ann", "Bob"]
    texts = ["Rome is old.", "Ann lives in Rome with Bob.", "Bob was born in Oslo. OSLO is cold."]
    paragraphs = [{"idx": n, "title": t, "paragraph_text": x, "is_supporting": n in chain}
                  for n, (t, x) in enumerate(zip(titles, texts, strict=True))]  # fmt: skip
    steps = [{"id": 1, "question": "?", "answer": "?", "paragraph_support_idx": n} for n in chain]
    return {"id": identifier, "question": "Where?", "paragraphs": paragraphs, "question_decomposition": steps,
            "answer": answer, "answer_aliases": [], "answerable": True} | more  # fmt: skip


def test_musique(tmp_path):
    rows = [
        hops("2hop__1", "Oslo", [1, 2]),
        hops("2hop__2", "Rome", [1, 2]),
        hops("2hop__3", "x", [1, None], answerable=False),
        hops("2hop__4", "Christiania", [1, 2], answer_aliases=["Oslo"]),
        hops("2hop__5", "Rome", [2, 1]),
    ]
    file = tmp_path / "musique_full.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    content, left_out = to_squad("musique", file)
    found = questions(content)
    assert list(found) == ["2hop__1", "2hop__3", "2hop__4", "2hop__5"] and left_out == 1
    context, first = found["2hop__1"]
    assert context.startswith("Rome\nRome is old.\n\nAnn\nAnn lives")
    assert [a["text"] for a in first["answers"]] == ["Oslo", "OSLO"]
    chain = evidence(context, first)
    assert [part.split("\n")[0] for part in chain] == ["Ann", "Bob"]
    # The answer's place is in the last hop's paragraph, though it stands in another one too.
    assert [part.split("\n")[0] for part in evidence(*found["2hop__5"])] == ["Bob", "Ann"]
    (rome,) = found["2hop__5"][1]["answers"]
    assert rome["answer_start"] == context.index("in Rome with") + 3
    assert found["2hop__3"][1]["is_impossible"] and "evidence" not in found["2hop__3"][1]
    # It loads as any file does, with its evidence.
    from training.corpora.load import load_qa

    (tmp_path / "out.json").write_text(json.dumps(content))
    rows = load_qa("file", "validation", data_files=str(tmp_path / "out.json"))
    assert len(rows) == 4 and rows[0]["evidence"] == first["evidence"]


def test_the_command_says_what_it_made(tales):
    command = [sys.executable, "-m", "hub_datasets.to_squad", "--format", "fairytaleqa", "--input", str(tales),
               "--split", "val", "--output", str(tales / "out.json")]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "3 questions about 1 documents, 0 of them unanswerable; left out 2" in done.stdout
    assert len(questions(json.loads((tales / "out.json").read_text()))) == 3


@pytest.mark.parametrize(
    ("kind", "name", "content", "sentence"),
    [
        ("timeqa", "no.json", None, "does not exist: check the path"),
        ("timeqa", "a.json", '{"data": []}', "row 0, has no 'idx': is it the official file of this --format?"),
        ("musique", "a.jsonl", '{"id": 1}', "row 0, has no 'question'"),
        ("musique", "a.jsonl", '{"id": 1', "is not JSON"),
        ("musique", "a.jsonl", "[]", "gives no question: is it musique's official file?"),
        ("musique", "", None, "is a folder: give one of the official files"),
        ("fairytaleqa", "", None, "has no questions/train/*-questions.csv: give FairytaleQA's folder"),
    ],
)
def test_bad_input_is_one_sentence(kind, name, content, sentence, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as raised:
        to_squad(kind, tmp_path / name)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_tales_without_their_story_or_a_column_are_named(tales):
    story = tales / "data-by-train-split" / "section-stories" / "val" / "fox-story.csv"
    story.write_text("section,words\n1,x\n")
    with pytest.raises(UserError, match=r"fox-story\.csv' has no column 'text'"):
        to_squad("fairytaleqa", tales, "val")
    story.unlink()
    with pytest.raises(UserError, match=r"lacks .*fox-story\.csv': give FairytaleQA's whole folder"):
        to_squad("fairytaleqa", tales, "val")
