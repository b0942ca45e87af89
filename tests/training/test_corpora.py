"""What a corpus is asked at the door: languages, ids, and the same rows and scores by whatever way they come."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions
from training import data_report, metrics
from training.corpora.files import language_in_name, name_without_language
from training.corpora.load import load_qa
from training.qa.windows import Windower
from training.scoring import survey
from training.scoring.gold import gold_answers, read_gold

from . import qa_tiny


def tree(*questions: tuple[object, str, str], context: str = "The cat lives in Rome. The dog lives in Paris.") -> dict:
    """A SQuAD-format tree of one paragraph with (id, question, answer)."""
    qas = [
        {"id": key, "question": question, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for key, question, text in questions
    ]
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]}


def rows_of(*languages: str | None) -> list[dict]:
    row = {"id": "1", "title": "t", "context": "The cat lives in Rome.", "question": "Where?"}
    row["answers"] = {"text": ["Rome"], "answer_start": [17]}
    return [{**row, **({"language": code} if code else {})} for code in languages]


def written(path: Path, value: object) -> str:
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


class TestLanguages:
    """The column's, else the file name's, else the flag's; several are apart."""

    @pytest.mark.parametrize(
        ("name", "code"),
        [("xquad.de.json", "de"), ("mine.sv.jsonl.gz", "sv"), ("all-ja.csv", "ja"), ("dev_fr.parquet", "fr"),
         ("foqa.fo.json", "fo"), ("test-context-de-question-en.json", "de"), ("train.qa.json", None),
         ("my_qa.json", None), ("dev.v2.json", None), ("squad", None), ("fr.piaf.json", "fr"),
         ("no.norquad.jsonl.gz", "no"), ("en-fr.afriqa-train.json", "en-fr"), ("de.xquad.en.json", "en"),
         ("my.questions.json", None), ("qa.train.json", None), ("de.json", None)],
    )  # fmt: skip
    def test_in_a_name(self, name: str, code: str | None) -> None:
        assert language_in_name(name) == code

    @pytest.mark.parametrize(
        ("names", "same"),
        [(("de.mlqa-dev.json", "vi.mlqa-dev.json.gz"), "mlqa-dev"), (("xquad.de.json", "xquad.en.jsonl"), "xquad"),
         (("my_de.csv", "my_sv.csv"), "my"), (("train.qa.json", "train.qa.parquet"), "train.qa"),
         (("dev-context-de-question-de.json", "dev-context-en-question-en.json"), "dev-context-question")],
    )  # fmt: skip
    def test_a_name_without_its_language(self, names: tuple[str, ...], same: str) -> None:
        assert {name_without_language(name) for name in names} == {same}

    def test_of_a_column(self, tmp_path: Path) -> None:
        Dataset.from_list(rows_of("en", "sv")).to_parquet(tmp_path / "two.parquet")
        files = str(tmp_path / "two.parquet")
        assert load_qa("file", "validation", data_files=files)["language"] == ["en", "sv"]
        assert load_qa("file", "validation", data_files=files, language="all")["language"] == ["en", "sv"]
        assert load_qa("file", "validation", data_files=files, language="sv")["language"] == ["sv"]
        with pytest.raises(UserError, match="--language 'da' is none of the languages of the data, en, sv"):
            load_qa("file", "validation", data_files=files, language="sv,da")

    def test_documents_of_two_languages_are_never_joined(self, tmp_path: Path) -> None:
        files = written(tmp_path / "two.json", rows_of("en", "sv"))
        rows = load_qa("file", "validation", data_files=files, options=ConcatOptions(2, "all", separator="|"))
        assert [row["context"] for row in rows] == ["The cat lives in Rome."] * 2

    def test_our_own_rows_come_back_as_they_were(self, tmp_path: Path, shared_data: Path) -> None:
        rows = load_qa("xq3", "validation", data_dir=str(shared_data / "xquad"), language="de,th")
        for name, write in (("rows.parquet", rows.to_parquet), ("rows.json", rows.to_json)):
            write(tmp_path / name)
            assert load_qa("file", "validation", data_files=str(tmp_path / name)).to_list() == rows.to_list()

    @pytest.mark.parametrize("language", ["all", "en,sv", None])
    def test_of_file_names(self, tmp_path: Path, language: str | None) -> None:
        for code in ("en", "sv"):
            written(tmp_path / f"two.{code}.json", tree(("1", "Where?", "Rome")))
        rows = load_qa("file", "validation", data_files=str(tmp_path / "two.*.json"), language=language)
        assert rows["language"] == ["en", "sv"]
        only = load_qa("file", "validation", data_files=str(tmp_path / "two.*.json"), language="sv")
        assert only["language"] == ["sv"]

    def test_of_the_flag(self, tmp_path: Path) -> None:
        files = written(tmp_path / "mine.json", tree(("1", "Where?", "Rome")))
        assert load_qa("file", "validation", data_files=files)["language"] == ["en"]
        assert load_qa("file", "validation", data_files=files, language="fi")["language"] == ["fi"]
        for language in ("all", "en,sv"):
            with pytest.raises(UserError, match=f"--language '{language}': .*mine.json' does not say its language"):
                load_qa("file", "validation", data_files=files, language=language)

    @pytest.mark.parametrize("code", ["../x", "a/b", "."])
    def test_a_language_that_would_be_another_folder(self, tmp_path: Path, code: str) -> None:
        with pytest.raises(UserError, match=f"has the language {code!r}"):
            load_qa("file", "validation", data_files=written(tmp_path / "mine.json", rows_of(code)))


class TestIds:
    """Strings, and none twice in what is scored."""

    def test_none_comes_twice(self, tmp_path: Path) -> None:
        files = written(tmp_path / "dup.json", tree(("1", "The cat?", "Rome"), ("1", "The dog?", "Paris")))
        with pytest.raises(UserError, match=r"has the id '1' twice in 'en': give each question an id of its own"):
            load_qa("file", "validation", data_files=files)
        with pytest.raises(UserError, match="has the id '1' twice"):
            read_gold(files)

    def test_not_in_two_files_of_one_language_either(self, tmp_path: Path) -> None:
        for name in ("a.json", "b.json"):
            written(tmp_path / name, tree(("1", "Where?", "Rome")))
        with pytest.raises(UserError, match="has the id '1' twice in 'en'"):
            load_qa("file", "validation", data_files=str(tmp_path / "*.json"))

    def test_a_number_is_the_same_id_as_its_text(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="has the id '7' twice"):
            load_qa(
                "file", "train", data_files=written(tmp_path / "f.json", tree((7, "?", "Rome"), ("7", "?", "Paris")))
            )

    @pytest.mark.parametrize("kind", ["tree", "rows", "lines"])
    def test_a_file_scores_the_same_by_rows_and_by_metrics(
        self, tmp_path: Path, capsys, monkeypatch, kind: str
    ) -> None:
        held = tree((7, "Where does Ada live?", "Oslo"), context="Ada lives in Oslo.")
        held["data"][0]["paragraphs"][0]["qas"].append({"id": 8, "question": "Bo?", "is_impossible": True})
        files = written(tmp_path / "gold.json", held)
        if kind != "tree":
            rows = [{**row, "id": int(row["id"])} for row in load_qa("file", "validation", data_files=files)]
            text = json.dumps(rows) if kind == "rows" else "\n".join(map(json.dumps, rows))
            (tmp_path / "gold.json").write_text(text)
        predictions = written(tmp_path / "predictions.json", {"7": "Oslo", "8": ""})
        words = ["--metric", "squad_v2", "--dataset_file", files, "--predictions_file", predictions]
        monkeypatch.setattr("sys.argv", ["metrics", *words])
        metrics.main()
        assert json.loads(capsys.readouterr().out)["exact_match"] == 100.0
        rows = load_qa("file", "validation", data_files=files)
        assert rows["id"] == ["7", "8"] and gold_answers(rows) == read_gold(files)

    def test_metrics_of_a_file_in_two_languages(self, tmp_path: Path) -> None:
        files = written(tmp_path / "two.json", rows_of("en", "sv"))
        assert read_gold(files, "sv") == [("1", ["Rome"])]
        with pytest.raises(UserError, match=r"--lang 'de' is none of the languages of .*: choose of en, sv"):
            read_gold(files, "de")

    def test_columns_of_other_names(self, tmp_path: Path) -> None:
        rows = [{"question_id" if key == "id" else key: value for key, value in row.items()} for row in rows_of("en")]
        files = written(tmp_path / "f.json", rows)
        options = ConcatOptions(1, "all", columns="question_id=id")
        assert load_qa("file", "train", data_files=files, options=options)["id"] == ["1"]
        assert read_gold(files, columns="question_id=id") == [("1", ["Rome"])]
        with pytest.raises(UserError, match="columns must be pairs THEIRS=OURS"):
            read_gold(files, columns="question_id")


def test_edited_evidence_is_noticed_with_its_time_kept(shared_data: Path, tmp_path: Path) -> None:
    """The rows of TriviaQA are those of its documents, whatever their age says."""
    content = json.loads((shared_data / "triviaqa" / "qa" / "wikipedia-dev.json").read_text())
    written(tmp_path / "wikipedia-dev.json", content)
    for datum in content["Data"]:
        for page in datum["EntityPages"]:
            path = tmp_path / "evidence" / "wikipedia" / page["Filename"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((shared_data / "triviaqa" / "evidence" / "wikipedia" / page["Filename"]).read_bytes())
    before = load_qa("trivia_qa", "validation", data_dir=str(tmp_path))
    stamp = path.stat()
    path.write_text("X" + path.read_text(encoding="utf-8")[1:], encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = load_qa("trivia_qa", "validation", data_dir=str(tmp_path))
    assert [row["context"][0] for row in after][-1] == "X" != before[-1]["context"][0]
    assert load_qa("trivia_qa", "validation", data_dir=str(tmp_path)).cache_files == after.cache_files
    path.write_bytes("Å".encode("latin-1"))
    with pytest.raises(UserError, match=r"is not UTF-8 \(byte 0\)"):
        load_qa("trivia_qa", "validation", data_dir=str(tmp_path))


class TestCutQuestions:
    def test_the_first_is_named_and_all_are_counted(self, capsys: pytest.CaptureFixture[str]) -> None:
        windower = Windower(qa_tiny.tokenizer(), 48, 8, max_question_length=5)
        rows = Dataset.from_list(
            [
                {"id": key, "question": text}
                for key, text in (("a", "x"), ("b", "x " * 9), ("c", "y " * 9), ("d", "x " * 9))
            ]
        )
        survey.say_what_is_cut(rows, windower, "de")
        said = capsys.readouterr().err
        assert said.startswith(
            "note: 3 of 4 questions of de have more than 5 tokens and are cut there, the first is 'b'"
        )
        survey.say_what_is_cut(rows.select([0]), windower, "de")
        assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("report")
    qa_tiny.tokenizer().save_pretrained(folder / "model")
    first, second = "aa bb cc dd ee", "e\u0301e ff gg"
    rows = [
        {"id": "1", "context": first, "question": "aa?", "answers": {"text": ["aa"], "answer_start": [0]}},
        {"id": "1", "context": second, "question": " \n", "answers": {"text": [], "answer_start": []}},
        {"id": "3", "context": first, "question": "bb " * 20, "answers": {"text": [first], "answer_start": [0]}},
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--data_files", str(folder / "rows.jsonl"), "--model_name_or_path", str(folder / "model"),
             "--max_length", "64", "--max_question_length", "10", "--max_answer_length", "4"]  # fmt: skip
    return data_report.report(data_report.read_command_line(words))["en"]


class TestReport:
    """`python -m training.data_report`: each oddity planted once, and counted once."""

    def test_every_oddity_is_counted(self, report: dict) -> None:
        wanted = {"questions": 3, "unanswerable": 1, "duplicate_ids": 1, "blank_questions": 1, "not_nfc": 1,
                  "cut_questions": 1, "golds": 2, "long_golds": 1, "paragraphs_apart": 1, "documents": 2}  # fmt: skip
        assert {key: report[key] for key in wanted} == wanted
        assert report["by_length"] == [{"above": 0, "to": 256, "documents": 2}]

    def test_the_command_prints_a_line_a_language(self, tmp_path: Path) -> None:
        output = tmp_path / "report.json"
        command = [sys.executable, "-m", "training.data_report", "--dataset", "sample", "--language", "sv,de"]
        done = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=True)
        assert re.search(r"^sv +\d+", done.stdout, re.MULTILINE) and re.search(r"^de +0 +256 +6$", done.stdout, re.M)
        assert json.loads(output.read_text())["sv"]["questions"] == 18
