"""Every data set through the one door, from its official layout; rows checked by other means than ours."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from huggingface_hub import CommitOperationAdd

import hub_datasets
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions
from tests.hub.store import User
from training.corpora.load import load_qa, metric_of
from training.corpora.options import ConcatArguments, concat_options
from training.corpora.sources import MLQA_LANGUAGES, XQUAD_LANGUAGES
from training.corpora.trivia_qa import best_documents, find_aliases, read_rows


def check_rows(rows) -> None:
    """The columns, and every answer where its offset says."""
    assert {"id", "title", "context", "question", "answers", "language"} <= set(rows.column_names)
    assert len(rows) > 0
    for row in rows:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text != ""


def tree_questions(path: Path) -> list[tuple[str, str, str]]:
    """(id, context, question) of a SQuAD-format file, read in the plainest way."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    return [
        (qa["id"], paragraph["context"], qa["question"])
        for article in tree["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def squad_tree(*contexts: str) -> dict:
    """One article; each context asks for its first and for its last word."""
    paragraphs = []
    for number, context in enumerate(contexts):
        words = context.split()
        answers = [{"text": words[0], "answer_start": 0}, {"text": words[-1], "answer_start": context.rfind(words[-1])}]
        qas = [{"id": f"{number}-{n}", "question": f"q{n}?", "answers": [answer]} for n, answer in enumerate(answers)]
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.sv.json"
    path.write_text(json.dumps(squad_tree("ett två tre", "fyra fem", "sex sju")), encoding="utf-8")
    return path


class TestOfficialLayouts:
    def test_squad(self, shared_data: Path) -> None:
        rows = load_qa("squad", "train", data_dir=str(shared_data / "squad"))
        check_rows(rows)
        path = shared_data / "squad" / "train-v1.1-first44articles.json"
        assert list(zip(rows["id"], rows["context"], rows["question"], strict=True)) == tree_questions(path)
        assert set(rows["language"]) == {"en"}

    def test_sq3_is_the_thesis_concatenation(self, shared_data: Path) -> None:
        rows = load_qa("squad_long", "train", data_dir=str(shared_data / "squad"))
        check_rows(rows)
        questions = tree_questions(shared_data / "squad" / "train-v1.1-first44articles.json")
        first = [q for n, q in enumerate(questions) if n == 0 or q[1] != questions[n - 1][1]]
        assert rows["id"] == [q[0] for q in first]
        blocks = ["".join(q[1] for q in first[n : n + 3]) for n in range(0, len(first), 3)]
        assert rows["context"] == [blocks[n // 3] for n in range(len(first))]

    def test_all_languages_of_xquad(self, shared_data: Path) -> None:
        rows = load_qa("xquad", "validation", data_dir=str(shared_data / "xquad"), language="all")
        assert len(rows) == 12 * 1190
        assert list(dict.fromkeys(rows["language"])) == list(XQUAD_LANGUAGES)

    def test_xq3(self, shared_data: Path) -> None:
        rows = load_qa("xq3", "validation", data_dir=str(shared_data / "xquad"), language="en")
        check_rows(rows)
        lengths = [len(context) for context in dict.fromkeys(rows["context"])]
        assert (len(rows), len(lengths)) == (240, 80)  # REFERENCES: 240 rows, 80 blocks, mean 2,355, longest 7,391
        assert (round(sum(lengths) / 80), max(lengths)) == (2355, 7391)

    def test_mlqa(self, shared_data: Path) -> None:
        rows = load_qa("mlqa", "validation", data_dir=str(shared_data / "mlqa"), language="de")
        check_rows(rows)
        assert (len(rows), metric_of("mlqa", rows), set(rows["language"])) == (512, "mlqa", {"de"})

    def test_mlqa_pairs_in_the_official_folders(self, tmp_path: Path) -> None:
        languages = MLQA_LANGUAGES
        folder = tmp_path / "MLQA_V1" / "test"
        folder.mkdir(parents=True)
        for context in languages:
            for question in languages:
                name = f"test-context-{context}-question-{question}.json"
                (folder / name).write_text(json.dumps(squad_tree(f"{context} {question}")))
        everything = load_qa("mlqa", "test", data_dir=str(tmp_path), language="all.all")
        assert len(set(everything["language"])) == 49
        assert len(load_qa("mlqa", "test", data_dir=str(tmp_path), language="all")) == 7 * 2
        pair = load_qa("mlqa", "test", data_dir=str(tmp_path), language="de.en")
        assert (pair["context"][0], pair["language"][0]) == ("de en", "de.en")

    def test_squad_v2(self, tmp_path: Path) -> None:
        tree = squad_tree("one two")
        plausible = [{"text": "one", "answer_start": 0}]
        unanswerable = {
            "id": "u",
            "question": "?",
            "is_impossible": True,
            "answers": [],
            "plausible_answers": plausible,
        }
        tree["data"][0]["paragraphs"][0]["qas"].append(unanswerable)
        (tmp_path / "dev-v2.0.json").write_text(json.dumps(tree))
        rows = load_qa("squad_v2", "validation", data_dir=str(tmp_path))
        assert rows[2]["answers"] == {"text": [], "answer_start": []}
        by_file = load_qa("file", "validation", data_files=str(tmp_path / "dev-v2.0.json"))
        assert metric_of("squad_v2", rows) == metric_of("file", by_file) == "squad_v2"

    def test_sample_splits_share_no_text(self) -> None:
        train, validation = (load_qa("sample", split, language="all") for split in ("train", "validation"))
        check_rows(train)
        check_rows(validation)
        assert not set(train["context"]) & set(validation["context"])
        assert len(validation) == 5 * 2 * 3 * 3  # languages x held-out articles x paragraphs x questions
        total = sum(len(tree_questions(p)) for p in (Path(hub_datasets.__file__).parent / "sample").glob("*.json"))
        assert len(train) + len(validation) == total

    def test_long_by_the_same_concatenation(self, shared_data: Path) -> None:
        plain = load_qa("mlqa", "validation", data_dir=str(shared_data / "mlqa"), language="de")
        long = load_qa(
            "mlqa", "validation", data_dir=str(shared_data / "mlqa"), language="de", options=ConcatOptions(4, "all")
        )
        check_rows(long)
        assert long["id"] == plain["id"]
        assert all(short in context for short, context in zip(plain["context"], long["context"], strict=True))


class TestAnyFile:
    def test_squad_format(self, squad_file: Path) -> None:
        rows = load_qa("file", "train", data_files=str(squad_file))
        check_rows(rows)
        assert (rows["id"], set(rows["language"])) == (["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"], {"sv"})
        assert load_qa(str(squad_file), "train")["id"] == rows["id"]
        other = squad_file.rename(squad_file.with_name("mine.json"))
        assert set(load_qa("file", "train", data_files=str(other), language="da")["language"]) == {"da"}

    @pytest.mark.parametrize(
        ("name", "language"), [("my_qa", "en"), ("dev.sv", "sv"), ("foqa.fo", "fo"), ("all-ja", "ja")]
    )
    def test_language_in_the_name(self, squad_file: Path, name: str, language: str) -> None:
        path = squad_file.rename(squad_file.with_name(f"{name}.json"))
        assert load_qa("file", "train", data_files=str(path))["language"][0] == language

    def test_parameters_of_the_concatenation(self, squad_file: Path) -> None:
        options = ConcatOptions(2, "first", separator=" | ")
        rows = load_qa("file", "train", data_files=str(squad_file), options=options)
        assert rows["context"] == ["ett två tre | fyra fem", "ett två tre | fyra fem", "sex sju"]
        assert rows["answers"][1] == {"text": ["fyra"], "answer_start": [14]}

    def test_splits_patterns_and_names_with_brackets(self, squad_file: Path, tmp_path: Path) -> None:
        odd = tmp_path / "a[1].json"
        odd.write_bytes(squad_file.read_bytes())
        assert len(load_qa("file", "train", data_files=str(tmp_path / "*.json"))) == 12
        assert len(load_qa("file", "train", data_files={"train": [str(odd)]})) == 6
        with pytest.raises(UserError, match="names no file for the split 'validation'"):
            load_qa("file", "validation", data_files={"train": [str(odd)]})

    def test_rows_as_json_lines_and_parquet(self, squad_file: Path, tmp_path: Path) -> None:
        rows = load_qa("file", "train", data_files=str(squad_file))
        rows.to_json(tmp_path / "rows.jsonl", force_ascii=False)
        rows.to_parquet(tmp_path / "rows.parquet")
        for name in ("rows.jsonl", "rows.parquet"):
            again = load_qa(
                "file", "train", data_files=str(tmp_path / name), language="sv", options=ConcatOptions(2, "all")
            )
            check_rows(again)
            assert (again["id"], again["context"][0]) == (rows["id"], "ett två trefyra fem")

    def test_bad_span(self, squad_file: Path, caplog: pytest.LogCaptureFixture) -> None:
        squad_file.write_text(squad_file.read_text().replace('"answer_start": 0', '"answer_start": 1', 1))
        with pytest.raises(UserError, match=r"mine\.sv\.json.*'0-0'"):
            load_qa("file", "train", data_files=str(squad_file))
        options = ConcatOptions(1, "all", on_bad_span="repair")
        repaired = load_qa("file", "train", data_files=str(squad_file), options=options)
        assert repaired["answers"][0]["answer_start"] == [0]
        assert "moved 1 answer" in caplog.text


class TestOptions:
    """Each source has its own way; what a command line says stands in its place, and None is nothing said."""

    @pytest.mark.parametrize(
        ("dataset", "own"),
        [("squad", (1, "all")), ("sq3", (3, "first")), ("xquad_long", (3, "first")), ("org/xquad_long", (3, "first")),
         ("mlqa", (1, "all")), ("trivia_qa", (1, "all")), ("file", (1, "all")), ("org/other", (1, "all"))],
    )  # fmt: skip
    def test_of_each_source(self, dataset: str, own: tuple[int, str]) -> None:
        assert concat_options(dataset) == concat_options(dataset, ConcatArguments()) == ConcatOptions(*own)
        asked = ConcatArguments(nr_concats=12, within_articles=True)
        assert concat_options(dataset, asked) == ConcatOptions(12, own[1], within_articles=True)

    def test_no_source_is_changed_by_what_one_command_says(self) -> None:
        concat_options("sq3", ConcatArguments(nr_concats=7)).nr_concats = 8
        assert concat_options("sq3").nr_concats == 3

    def test_xq3_is_what_the_loader_makes(self, shared_data: Path, tmp_path: Path) -> None:
        """By the door of training and by `hub_datasets.load_dataset`: the same rows, whatever is asked."""
        file = shared_data / "xquad" / "xquad.th.json"
        for options in (ConcatOptions(), ConcatOptions(5, "all", True, "\n")):
            rows = load_qa("xq3", "validation", data_dir=str(shared_data / "xquad"), language="th", options=options)
            call = {"split": "validation", "data_files": file, "cache_dir": tmp_path, **vars(options)}
            assert rows.to_list() == hub_datasets.load_dataset("xquad_long", "th", **call).to_list()


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"dataset": "sqad", "split": "train"}, "--dataset 'sqad' is no data set of ours"),
            ({"dataset": "file", "split": "train"}, "--dataset 'file' needs --data_files: give your file"),
            ({"dataset": "xquad", "split": "train"}, "no split 'train': train on squad"),
            ({"dataset": "sample", "split": "test"}, "it has train, validation"),
            ({"dataset": "sample", "split": "train", "language": "fi"}, "--language 'fi' is none of"),
            (
                {"dataset": "sample", "split": "train", "options": ConcatOptions(0)},
                "--nr_concats must be a whole number",
            ),
            (
                {"dataset": "sample", "split": "train", "options": ConcatOptions(1, "some")},
                "--questions must be 'first' or 'all'",
            ),
            ({"dataset": "squad", "split": "train", "data_dir": "/nowhere"}, "--data_dir '/nowhere' is not a folder"),
            ({"dataset": "squad", "split": "train", "data_files": "no.json"}, "--data_files 'no.json' is not a file"),
            ({"dataset": "org/x", "split": "train", "data_dir": "data"}, "'org/x' is read from elsewhere"),
            ({"dataset": "trivia_qa", "split": "train", "options": ConcatOptions(3, "all")}, "long as they are"),
            (
                {"dataset": "trivia_qa", "split": "train", "options": ConcatOptions(1, "all", on_bad_span="drop")},
                "do not go with trivia_qa",
            ),
            (
                {"dataset": "trivia_qa", "split": "train", "options": ConcatOptions(1, "all", within_articles=True)},
                "do not go with trivia_qa",
            ),
            ({"dataset": "trivia_qa", "split": "train", "language": "de"}, "--language 'de' is none of"),
        ],
    )
    def test_one_sentence(self, arguments: dict, sentence: str) -> None:
        with pytest.raises(UserError, match=re.escape(sentence)):
            load_qa(**arguments)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("", "is not JSON"),
            ('{"data": []}', "holds no question"),
            ('{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1"}]}]}]}', "has no 'question'"),
            ('{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "?", "answers": []}]}]}]}',
             "has no answers"),
        ],
    )  # fmt: skip
    def test_bad_file(self, tmp_path: Path, content: str, sentence: str) -> None:
        path = tmp_path / "bad.json"
        path.write_text(content)
        with pytest.raises(UserError, match=re.escape(sentence)):
            load_qa("file", "train", data_files=str(path))

    @pytest.mark.parametrize(
        "answers", [[{"text": "c"}], {"text": ["c"]}, {"text": ["c"], "answer_start": []}, ["c"], None, 3]
    )
    def test_answers_of_another_shape(self, tmp_path: Path, monkeypatch, answers) -> None:
        row = {"id": "1", "context": "c", "question": "?", "answers": answers}
        rows = Dataset.from_list([row])
        monkeypatch.setattr("training.corpora.load.load_hub", lambda *_: rows)
        (tmp_path / "rows.jsonl").write_text(json.dumps(row))
        for dataset, files in (("org/x", None), ("file", str(tmp_path / "rows.jsonl"))):
            with pytest.raises(UserError, match=r"row 0( \(line 1\))?: (an answer_start of )?answers (is|has) "):
                load_qa(dataset, "train", data_files=files)

    def test_trivia_qa_without_aliases_or_documents(self, tmp_path: Path) -> None:
        (tmp_path / "evidence" / "wikipedia").mkdir(parents=True)
        datum = {"QuestionId": "q", "Question": "?", "Answer": {"Value": "x"}, "EntityPages": [{"Filename": "a.txt"}]}
        (tmp_path / "wikipedia-dev.json").write_text(json.dumps({"Domain": "Wikipedia", "Data": [datum]}))
        with pytest.raises(UserError, match=r"a\.txt' is missing: unpack the evidence folder"):
            load_qa("trivia_qa", "validation", data_dir=str(tmp_path))
        (tmp_path / "evidence" / "wikipedia" / "a.txt").write_text("x")
        with pytest.raises(UserError, match="an entry has no 'NormalizedAliases'"):
            load_qa("trivia_qa", "validation", data_dir=str(tmp_path))

    def test_wrong_column(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").write_text('{"id": "1", "text": "c", "question": "?", "answers": null}\n')
        with pytest.raises(UserError, match=r"rows\.jsonl' has no column 'context'"):
            load_qa("file", "train", data_files=str(tmp_path / "rows.jsonl"))

    def test_missing_language_file(self, shared_data: Path) -> None:
        with pytest.raises(UserError, match=r"has no dev-context-de-question-en\.json"):
            load_qa("mlqa", "validation", data_dir=str(shared_data / "mlqa"), language="de.en")


class TestDistantSupervision:
    @pytest.mark.parametrize(
        ("document", "aliases", "places"),
        [
            ("In York, and York.", ["york"], [(3, "York"), (13, "York")]),
            ("New York, England", ["york", "york england"], [(4, "York"), (4, "York, England")]),
            ("Yorkshire and Yorkist", ["york"], []),
            ("York is in England, not York. England", ["york in england"], []),
            ("the Campbell-Bannerman", ["campbell bannerman"], [(4, "Campbell-Bannerman")]),
            ("City of the York", ["city of york"], [(0, "City of the York")]),  # articles are ignored
            ("O’Brien's", ["o brien"], [(0, "O’Brien")]),
            ("a_sunset_blvd", ["sunset blvd"], [(2, "sunset_blvd")]),
            # The lower case of İ is longer, and the offsets stay right.
            ("İzmir, İzmir", ["i̇zmir"], [(0, "İzmir"), (7, "İzmir")]),
            ("“York”—the city", ["york", "“york”"], [(1, "York")]),
            ("30's", ["30 s", ""], [(0, "30's")]),
        ],
    )
    def test_places(self, document: str, aliases: list[str], places: list[tuple[int, str]]) -> None:
        assert find_aliases(document, aliases) == places
        assert all(document[start : start + len(text)] == text for start, text in places)

    def test_against_a_plain_search(self, shared_data: Path) -> None:
        """For aliases of plain words, the places are those of a regular expression on the raw document."""
        found = 0
        for row in read_rows(shared_data / "triviaqa" / "qa" / "wikipedia-train.json"):
            plain = [alias for alias in row["aliases"] if re.fullmatch("[a-z]+", alias) and alias not in ("a", "the")]
            if not plain:
                continue
            pattern = r"(?<![^\W_])(" + "|".join(plain) + r")(?![^\W_])"
            expected = {(m.start(), m.group()) for m in re.finditer(pattern, row["context"], re.IGNORECASE)}
            assert set(find_aliases(row["context"], plain)) == expected
            found += len(expected)
        assert found > 20

    @pytest.mark.parametrize("domain", ["wikipedia", "web"])
    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_official_layout(self, shared_data: Path, domain: str, split: str) -> None:
        name = "trivia_qa" if domain == "wikipedia" else "trivia_qa_web"
        rows = load_qa(name, split, data_dir=str(shared_data / "triviaqa"))
        check_rows(rows)
        official = "dev" if split == "validation" else split
        content = json.loads((shared_data / "triviaqa" / "qa" / f"{domain}-{official}.json").read_text())
        pairs = [
            f"{datum['QuestionId']}--{page['Filename']}"
            for datum in content["Data"]
            for page in [*datum.get("EntityPages", []), *datum.get("SearchResults", [])]
        ]
        assert rows["id"] == pairs
        questions = {datum["QuestionId"] for datum in content["Data"]}
        assert set(rows["question_id"]) == (questions if domain == "wikipedia" else set(pairs))
        assert all(row["answers"]["text"] for row in rows)
        if (domain, split) == ("wikipedia", "train"):
            assert max(map(len, rows["context"])) > 87_000

    def test_training_leaves_out_documents_without_an_alias(self, shared_data: Path, tmp_path: Path) -> None:
        content = json.loads((shared_data / "triviaqa" / "qa" / "wikipedia-dev.json").read_text())
        content["Data"][0]["Answer"]["NormalizedAliases"] = ["nowhere to be found"]
        for split in ("train", "dev"):
            (tmp_path / f"wikipedia-{split}.json").write_text(json.dumps(content))
        for evidence in (tmp_path / "evidence", tmp_path.parent / "evidence"):
            assert not evidence.exists()
        (tmp_path / "evidence").symlink_to(shared_data / "triviaqa" / "evidence")
        assert set(load_qa("trivia_qa", "train", data_dir=str(tmp_path))["question_id"]) == {"tc_40"}
        assert set(load_qa("trivia_qa", "validation", data_dir=str(tmp_path))["question_id"]) == {"tc_33", "tc_40"}

    def test_edited_file_is_read_anew(self, shared_data: Path, tmp_path: Path) -> None:
        content = json.loads((shared_data / "triviaqa" / "qa" / "wikipedia-dev.json").read_text())
        (tmp_path / "evidence").symlink_to(shared_data / "triviaqa" / "evidence")
        path = tmp_path / "wikipedia-dev.json"
        for question in ("Old?", "New?"):
            content["Data"][0]["Question"] = question
            path.write_text(json.dumps(content))
            assert load_qa("trivia_qa", "validation", data_dir=str(tmp_path))["question"][0] == question

    def test_missing_document(self, shared_data: Path, tmp_path: Path) -> None:
        path = tmp_path / "wikipedia-dev.json"
        path.write_bytes((shared_data / "triviaqa" / "qa" / "wikipedia-dev.json").read_bytes())
        with pytest.raises(UserError, match=r"Andrew_Lloyd_Webber\.txt' is missing: unpack the evidence folder"):
            list(read_rows(path, tmp_path))

    def test_the_best_document_answers_the_question(self, shared_data: Path) -> None:
        from training.qa.answers import Answer, Answers

        rows = load_qa("trivia_qa", "validation", data_dir=str(shared_data / "triviaqa"))
        scores = dict(zip(rows["id"], [1.0, 2.0, 5.0], strict=True))
        answers = {key: Answers([Answer(key, 0, 1, value, 1.0)], 0.0, 0.0) for key, value in scores.items()}
        picked, by_question = best_documents(rows, answers)
        assert list(picked["id"]) == ["tc_33--Andrew_Lloyd_Webber.txt", "tc_40--Arthur_Balfour.txt"]
        assert {key: found.text() for key, found in by_question.items()} == {
            "tc_33": "tc_33--Andrew_Lloyd_Webber.txt",
            "tc_40": "tc_40--Arthur_Balfour.txt",
        }


class TestHub:
    """By the data sets' present names on the Hub, through the real clients, against the loopback Hub."""

    LOAD = """
import json, sys
from foundation.cli import UserError
from hub_datasets.concat import ConcatOptions
from training.corpora.load import load_qa, metric_of
for dataset, split, arguments in json.loads(sys.argv[1]):
    if "options" in arguments:
        arguments["options"] = ConcatOptions(**arguments["options"])
    try:
        rows = load_qa(dataset, split, **arguments)
        languages, contexts = sorted(set(rows["language"])), len(set(rows["context"]))
        print(json.dumps([len(rows), rows[0]["id"], languages, contexts, metric_of(dataset, rows)]))
    except UserError as error:
        print(json.dumps(str(error)))
"""

    @pytest.fixture
    def hub(self, loopback_hub, monkeypatch):
        loopback_hub.here(monkeypatch)
        owners = ("tester", "org", "rajpurkar", "google", "facebook", "mandarjoshi")
        monkeypatch.setitem(loopback_hub.store.users, loopback_hub.token, User("tester", owners, True))
        return loopback_hub

    def put(self, hub, repo_id: str, files: dict[str, bytes]) -> None:
        """A data set of Parquet files, `<configuration>/<split>.parquet`, and a card that names them."""
        hub.api().create_repo(repo_id, repo_type="dataset")
        configurations = [
            {"config_name": name.split("/")[0], "data_files": [{"split": Path(name).stem, "path": name}]}
            for name in files
        ]
        card = f"---\n{yaml.safe_dump({'configs': configurations})}---\n".encode()
        self.commit(hub, repo_id, {**files, "README.md": card})

    def commit(self, hub, repo_id: str, files: dict[str, bytes], **options: str) -> None:
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        hub.api().create_commit(repo_id, operations, commit_message="files", repo_type="dataset", **options)

    def parquet(self, rows, tmp_path: Path) -> bytes:
        rows.to_parquet(tmp_path / "rows.parquet")
        return (tmp_path / "rows.parquet").read_bytes()

    def load(self, hub, tmp_path: Path, *calls: tuple[str, str, dict]) -> list:
        """What each call gives, in a fresh process with an empty cache: facts about its rows, or its sentence."""
        command = [sys.executable, "-c", self.LOAD, json.dumps(calls)]
        result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **hub.env(tmp_path)})
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_sources_by_name(self, hub, shared_data: Path, tmp_path: Path) -> None:
        german = load_qa("file", "train", data_files=str(shared_data / "xquad" / "xquad.de.json"))
        plain = german.remove_columns("language")
        self.put(hub, "rajpurkar/squad", {"plain_text/train.parquet": self.parquet(plain, tmp_path)})
        self.put(hub, "google/xquad", {"xquad.de/validation.parquet": self.parquet(plain, tmp_path)})
        first = german[0]["id"]
        assert self.load(
            hub,
            tmp_path,
            ("squad", "train", {}),
            ("sq3", "train", {}),
            ("xq3", "validation", {"language": "de", "options": {"nr_concats": 24}}),
            ("rajpurkar/squad", "train", {"language": "de", "options": {"nr_concats": 240, "questions": "all"}}),
        ) == [
            [1190, first, ["en"], 240, "squad"],
            [240, first, ["en"], 80, "squad"],
            [240, first, ["de"], 10, "squad"],
            [1190, first, ["de"], 1, "squad"],
        ]

    def test_mlqa_by_the_hubs_parquet_copy(self, hub, shared_data: Path, tmp_path: Path) -> None:
        """Laid out as the Hub's converter does: a folder for each configuration and split, and no card."""
        copy = "refs/convert/parquet"
        hub.api().create_repo("facebook/mlqa", repo_type="dataset")
        hub.api().create_branch("facebook/mlqa", repo_type="dataset", branch=copy)
        rows = load_qa("mlqa", "validation", data_dir=str(shared_data / "mlqa"), language="de")
        content = self.parquet(rows.remove_columns("language"), tmp_path)
        first = self.parquet(rows.remove_columns("language").select(range(5)), tmp_path)
        files = {f"mlqa.{pair}/test/0000.parquet": first for pair in ("de.de", "de.en")}
        files["mlqa.de.de/validation/0000.parquet"] = content
        self.commit(hub, "facebook/mlqa", {".gitattributes": b"", **files}, revision=copy)
        assert self.load(
            hub,
            tmp_path,
            ("mlqa", "validation", {"language": "de"}),
            ("mlqa", "test", {"language": "de,de.en"}),
        ) == [
            [512, rows[0]["id"], ["de"], len(set(rows["context"])), "mlqa"],
            [10, rows[0]["id"], ["de", "de.en"], len(set(rows["context"][:5])), "mlqa"],
        ]

    def test_trivia_qa(self, hub, shared_data: Path, tmp_path: Path) -> None:
        official = load_qa("trivia_qa", "validation", data_dir=str(shared_data / "triviaqa"))
        pages = {"filename": [], "title": [], "wiki_context": []}
        records: dict[str, dict] = {}
        for row in official:
            record = records.setdefault(
                row["question_id"],
                {
                    "question_id": row["question_id"],
                    "question": row["question"],
                    "answer": {"normalized_aliases": row["aliases"]},
                    "entity_pages": {name: [] for name in pages},
                    "search_results": {"filename": [], "title": [], "search_context": []},
                },
            )
            values = (row["id"].split("--")[1], row["title"], row["context"])
            for name, value in zip(pages, values, strict=True):
                record["entity_pages"][name].append(value)
        content = self.parquet(Dataset.from_list(list(records.values())), tmp_path)
        self.put(hub, "mandarjoshi/trivia_qa", {"rc.wikipedia/validation.parquet": content})
        (result,) = self.load(hub, tmp_path, ("trivia_qa", "validation", {}))
        assert result == [3, official[0]["id"], ["en"], 3, "triviaqa"]

    def test_a_published_long_data_set_joins_by_its_own_rules(self, hub, shared_data: Path, tmp_path: Path) -> None:
        sources = {f"data/{path.name}": path.read_bytes() for path in (shared_data / "xquad").glob("*.json")}
        hub.api().create_repo("org/xquad_long", repo_type="dataset")
        self.commit(hub, "org/xquad_long", sources)
        (result,) = self.load(
            hub, tmp_path, ("org/xquad_long", "validation", {"language": "de,el", "options": {"nr_concats": 12}})
        )
        assert result == [480, "56beb4343aeaaa14008c925b", ["de", "el"], 2 * 240 // 12, "squad"]

    def test_what_is_wrong_is_one_sentence(self, hub, tmp_path: Path) -> None:
        wrong = Dataset.from_dict({"id": ["1"], "text": ["c"]})
        self.put(hub, "org/other", {"default/train.parquet": self.parquet(wrong, tmp_path)})
        calls = [("org/other", {}), ("org/nowhere", {}), ("org/other", {"config": "fi"})]
        no_column, no_repository, no_configuration = self.load(
            hub, tmp_path, *((dataset, "train", arguments) for dataset, arguments in calls)
        )
        assert no_column.startswith("'org/other' has no column 'context' (it has id, text)")
        assert no_repository.startswith("data set 'org/nowhere' cannot be loaded from the Hub")
        assert no_configuration.startswith("data set 'org/other' cannot be loaded from the Hub (BuilderConfig 'fi'")
        assert all("\n" not in sentence for sentence in (no_column, no_repository, no_configuration))
