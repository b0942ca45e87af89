"""terms and babi_far at the door of every command, and evidence in files of all kinds."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet
import pytest

from foundation.cli import UserError
from training import score
from training.corpora.generated import MakingArguments
from training.corpora.load import load_qa
from training.corpora.options import concat_options
from training.finetuning.arguments import FinetuneArguments
from training.finetuning.rows import load_rows
from training.scoring.folder import identity
from training.scoring.run import languages_to_score


def test_load_qa_makes_rows_in_every_language(shared_data):
    making = MakingArguments(
        tokens=1024, rows=4, parties=2, background=str(shared_data / "xquad" / "xquad.{language}.json")
    )
    rows = load_qa("terms", "validation", language="de,el", making=making)
    assert len(rows) == 8 and set(rows["language"]) == {"de", "el"}
    assert rows.column_names[-2:] == ["language", "evidence"]
    assert len(load_qa("terms", "validation", language="sv", making=MakingArguments(tokens=1024, rows=3))) == 3


def test_score_py_takes_the_flags(shared_data, tmp_path):
    words = ["--model_name_or_path", "embedded", "--dataset", "babi_far", "--task", "2", "--tokens", "1024",
             "--rows", "8", "--max_eval_samples", "6", "--language", "de,th", "--data_dir", str(shared_data / "babi"),
             "--background", str(shared_data / "xquad"), "--output_dir", str(tmp_path)]  # fmt: skip
    args = score.read_command_line(words)
    languages = languages_to_score(args)
    assert list(languages) == ["de", "th"]
    rows = languages["th"]()
    assert len(rows) == 6 and set(rows["language"]) == {"th"} and len(rows[0]["evidence"]["start"]) == 2
    held = str(identity(args)["data"])
    assert "qa2_two-supporting-facts_test.txt" in held and "xquad.de.json" in held


def test_finetune_takes_other_backgrounds_to_train_and_to_evaluate(shared_data):
    mlqa = str(shared_data / "multilingual" / "{language}.mlqa-dev.json")
    arguments = FinetuneArguments(
        dataset=["terms"],
        language="de,zh",
        tokens=1024,
        rows=5,
        background=mlqa,
        eval_background=str(shared_data / "xquad"),
    )
    train, evaluation, *_ = load_rows(
        arguments,
        SimpleNamespace(
            metric_for_best_model=None, do_train=True, do_eval=True, eval_strategy="no", seed=1, output_dir="x"
        ),
    )
    assert len(train) == len(evaluation) == 10
    paragraphs = [set("\n\n".join(rows["context"]).split("\n\n")) for rows in (train, evaluation)]
    assert not paragraphs[0] & paragraphs[1] and all(len(each) > 20 for each in paragraphs)
    # The flags are for terms, and do not touch the other data set.
    arguments = FinetuneArguments(dataset=["sample"], eval_dataset="terms", eval_language="sv", tokens=1024, rows=5)
    train, evaluation, *_ = load_rows(
        arguments,
        SimpleNamespace(
            metric_for_best_model=None, do_train=True, do_eval=True, eval_strategy="no", seed=1, output_dir="x"
        ),
    )
    assert "evidence" not in train.column_names and len(evaluation) == 5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"dataset": "sample", "parties": 3}, "--parties 3 is for terms and babi_far, not for 'sample': leave it out"),
        ({"dataset": "terms", "language": "fi"}, "--language 'fi' is none of the languages of terms: ar, de,"),
        ({"dataset": "terms", "language": "sv", "parties": 9}, "--parties must be a whole number from 2 to 6, but"),
        ({"dataset": "terms", "language": "sv", "task": 1}, "--task 1 is not for terms: it takes parties, hops,"),
        ({"dataset": "terms", "split": "test"}, "--dataset 'terms' has no split 'test': it has train, validation"),
        ({"dataset": "terms", "nr_concats": 3}, "--nr_concats, --questions, --within_articles, --on_bad_span and"),
        ({"dataset": "terms", "language": "sv", "tokens": 90_000}, "too few for tokens=90000: give a longer file"),
        ({"dataset": "terms", "data_dir": "."}, "--data_dir '.' is for official files, and 'terms' is read from"),
        ({"dataset": "babi_far", "language": "sv"}, "--babi_far is made of bAbI's files: give data_dir"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(call, sentence):
    call = {"split": "validation"} | call
    dataset, split = call.pop("dataset"), call.pop("split")
    asked = SimpleNamespace(**call)
    with pytest.raises(UserError) as raised:
        load_qa(
            dataset, split, language=call.get("language"), data_dir=call.get("data_dir"), making=asked,
            options=concat_options(dataset, asked),
        )  # fmt: skip
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


CONTEXT = "Anna is the buyer. Much else is said here. The buyer pays."
EVIDENCE = {"start": [0, 43], "end": [18, 58]}


def row(evidence, identifier="q"):
    answers = {"text": ["Anna"], "answer_start": [0]}
    return {"id": identifier, "context": CONTEXT, "question": "Who pays?", "answers": answers, "evidence": evidence}


def written(folder, kind, evidence):
    """One question with evidence and one without, in a file of this kind."""
    rows = [row(evidence), row(None, "plain")]
    path = folder / f"mine.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        qas = [{"id": each["id"], "question": each["question"], "evidence": each["evidence"],
                "answers": [{"text": "Anna", "answer_start": 0}]} for each in rows]  # fmt: skip
        tree = {"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
        path.write_text(json.dumps(tree))
    return str(path)


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_evidence_in_a_file_reaches_the_rows(kind, tmp_path):
    path = written(tmp_path, kind, EVIDENCE)
    rows = load_qa("file", "validation", data_files=path)
    assert rows["evidence"] == [EVIDENCE, {"start": [], "end": []}]
    # In a joined context the evidence moves as the answer does.
    twice = json.loads((tmp_path / "mine.json").read_text()) if kind == "json" else None
    if twice:
        first = {
            "context": "Something else. ",
            "qas": [{"id": "first", "question": "?", "answers": [{"text": "else", "answer_start": 10}]}],
        }
        twice["data"][0]["paragraphs"].insert(0, first)
        (tmp_path / "two.json").write_text(json.dumps(twice))
        asked = concat_options("file", SimpleNamespace(nr_concats=2))
        joined = load_qa("file", "validation", data_files=str(tmp_path / "two.json"), options=asked)[1]
        spans = zip(joined["evidence"]["start"], joined["evidence"]["end"], strict=True)
        assert [joined["context"][start:end] for start, end in spans] == ["Anna is the buyer.", "The buyer pays."]
    listed = written(tmp_path, kind, [{"start": 0, "end": 18}, {"start": 43, "end": 58}])
    assert load_qa("file", "validation", data_files=listed)["evidence"][0] == EVIDENCE


def test_files_without_evidence_have_no_such_column(tmp_path):
    assert "evidence" not in load_qa("sample", "validation", language="sv").column_names


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        ({"start": [0, 43], "end": [18, 59]}, "evidence from 43 to 59 lies outside its document of 58 characters"),
        ({"start": [-1], "end": [18]}, "evidence from -1 to 18 lies outside its document"),
        ({"start": [5], "end": [5]}, "evidence from 5 to 5 lies outside its document"),
        ({"start": [0, 43], "end": [18]}, "not as many whole numbers in start as in end"),
        ({"start": ["x"], "end": ["y"]}, "not as many whole numbers in start as in end"),
        ("0-18", "evidence is '0-18', no object with start and end"),
    ],
)
def test_evidence_that_cannot_be_is_one_sentence(kind, evidence, sentence, tmp_path):
    with pytest.raises(UserError) as raised:
        load_qa("file", "validation", data_files=written(tmp_path, kind, evidence))
    assert sentence in str(raised.value) and "\n" not in str(raised.value)
    assert "'q'" in str(raised.value) if kind == "json" else "row 0" in str(raised.value)
