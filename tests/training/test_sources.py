"""Training from several sources: caps, ids, languages, held-out articles, questions across languages."""

import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from datasets import Dataset

from foundation.cli import UserError
from tests.conftest import ROOT
from tests.training.launch import succeed
from training.finetuning.across import Questions, ask_across
from training.finetuning.arguments import FinetuneArguments
from training.finetuning.mixture import DOCUMENT, Mixture, mix_lengths
from training.finetuning.reading import local_files
from training.finetuning.rows import Rows, load_rows
from training.finetuning.sources import sources_of
from training.runs.checkpoints import contents

from . import qa_tiny

BACKGROUND = str(ROOT / "hub_datasets" / "sample" / "sample.{language}.json")


def write(path, language: str, ids: str = "q{number}", articles: int = 4, questions: int = 3):
    """A SQuAD-format file of articles with one paragraph each."""
    data = []
    for article in range(articles):
        context = f"{language} text {article} of {path.stem} says word{article} here."
        answers = [{"text": f"word{article}", "answer_start": context.index("word")}]
        numbers = range(article * questions, (article + 1) * questions)
        qas = [
            {"id": ids.format(number=number), "question": f"{language} asks {number}?", "answers": answers}
            for number in numbers
        ]
        data.append({"title": f"{path.stem} {article}", "paragraphs": [{"context": context, "qas": qas}]})
    path.write_text(json.dumps({"version": "1.1", "data": data}), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path):
    """One data set in two languages, and another whose ids are the same."""
    return [write(tmp_path / "de.same.json", "de"), write(tmp_path / "en.same.json", "en"),
            write(tmp_path / "sv.other.json", "sv", articles=3)]  # fmt: skip


def load(seed: int = 1, do_eval: bool = False, **given) -> Rows:
    training_args = SimpleNamespace(
        metric_for_best_model=None, do_train=True, do_eval=do_eval, eval_strategy="no", seed=seed, output_dir="x"
    )
    return load_rows(FinetuneArguments(**given), training_args)


def per_source(rows) -> Counter:
    return Counter(zip(rows["source"], rows["language"], strict=True))


class TestWords:
    """What stands behind a colon."""

    def test_caps_and_options(self, files, tmp_path) -> None:
        words = ["terms:20:language=de,sv:tokens=1024", "babi_far:task=2", "file"]
        terms, babi, rest = sources_of(words, [f"{files[0]}:7", str(tmp_path / "??.*.json").replace("??", "[es]?")])
        assert (terms.dataset, terms.cap) == ("terms", 20)
        assert terms.options == {"language": "de,sv", "tokens": 1024} and babi.options == {"task": 2}
        assert rest.dataset == "file" and rest.files == {files[0]: 7, files[1]: None, files[2]: None}

    def test_a_colon_in_a_path_is_no_cap(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "a:5", "de")
        (source,) = sources_of(["file"], ["a:5"])
        assert source.files == {"a:5": None}

    def test_files_are_read_in_the_way_of_the_one_data_set_that_code_does_not_make(self, files) -> None:
        (source,) = sources_of(["squad"], files)
        assert source.dataset == "squad" and len(source.files) == 3
        terms, source = sources_of(["terms"], files)
        assert terms.files is None and source.dataset == "file"
        names = [source.dataset for source in sources_of(["squad", "file", "sample"], files)]
        assert names == ["squad", "sample", "file"]
        (only,) = sources_of([f"{files[0]}:4"], None)
        assert only.files == {files[0]: 4}

    @pytest.mark.parametrize(
        ("dataset", "data_files", "sentence"),
        [
            (["file"], ["none.json"], "--data_files 'none.json' is not a file: check the path"),
            (["file"], ["none*.json:20"], "--data_files 'none*.json' matches no file: check the path"),
            (["file"], ["C:\\data\\fr.json"], "--data_files 'C:\\\\data\\\\fr.json' is not a file: check the path"),
            (["file"], ["C:\\data\\fr.json:20"], "--data_files 'C:\\\\data\\\\fr.json' is not a file: check the path"),
            (["file"], ["de.same.json:0"], "'de.same.json:0' has the cap '0': give one whole number from 1 up"),
            (["file"], ["de.same.json:many"], "'de.same.json:many' has the cap 'many': give one whole number from 1"),
            (["file"], ["de.same.json:-3"], "has the cap '-3'"),
            (["file"], ["de.same.json:1.5"], "has the cap '1.5'"),
            (["file"], ["de.same.json:"], "has the cap ''"),
            (["file"], ["de.same.json:3:4"], "has the cap '3': give one whole number"),
            (["file"], ["de.same.json:task=1"], "a file takes a cap and nothing else, as in de.same.json:2000"),
            (["file"], ["de.same.json", "*.same.json:3"], "--data_files names 'de.same.json' twice"),
            (["terms:tokens=400", "terms:9:tokens=400"], None, "--dataset names 'terms:tokens=400' twice"),
            (["terms:tokens=many"], None, "says tokens=many: give a whole number"),
            (["terms:task=1"], None, "says task=1, and terms takes language, tokens, parties, hops, background,"),
            (["squad:tokens=400"], None, "says tokens=400, and squad takes language"),
            (["terms:0"], None, "--dataset 'terms:0' has the cap '0'"),
            (["squad", "sample"], ["de.same.json"], "--dataset squad sample with files does not say whose files"),
            (["squad:5"], ["de.same.json"], "takes neither cap nor options with files: write a cap behind each"),
            (["trivia_qa"], ["de.same.json:5"], "take no cap: write it behind the name, trivia_qa:2000"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, files, tmp_path, monkeypatch, dataset, data_files, sentence) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=re.escape(sentence)) as raised:
            sources_of(dataset, data_files)
        assert "\n" not in str(raised.value)


class TestSources:
    """Rows of several sources."""

    def test_a_name_less_its_language_is_a_source_and_its_ids_stay_apart(self, files) -> None:
        rows = load(dataset=["file"], data_files=files).train
        assert per_source(rows) == {("same", "de"): 12, ("same", "en"): 12, ("other", "sv"): 9}
        assert set(rows["id"]) == {f"same:q{n}" for n in range(12)} | {f"other:q{n}" for n in range(9)}

    def test_the_ids_of_one_source_are_its_own(self, files) -> None:
        assert set(load(dataset=["squad"], data_files=files[:2]).train["id"]) == {f"q{n}" for n in range(12)}

    def test_an_id_that_comes_twice_in_a_source_is_refused(self, files, tmp_path) -> None:
        write(tmp_path / "de.x.json", "de", ids="same")
        with pytest.raises(UserError, match="has the id 'x:same' twice in 'de': give each"):
            load(dataset=["file"], data_files=[files[0], str(tmp_path / "de.x.json")])

    def test_files_of_one_name_in_two_folders_are_two_sources(self, files, tmp_path) -> None:
        (tmp_path / "b").mkdir()
        again = write(tmp_path / "b" / "de.same.json", "de")
        rows = load(dataset=["file"], data_files=[files[0], again]).train
        assert per_source(rows) == {("same", "de"): 12, ("same (2)", "de"): 12} and len(set(rows["id"])) == 24

    def test_a_language_is_chosen_over_all_files(self, files) -> None:
        assert set(load(dataset=["file"], data_files=files, language="de,sv").train["language"]) == {"de", "sv"}
        with pytest.raises(UserError, match="--language 'fi' is none of the languages of the data, de, en, sv"):
            load(dataset=["file"], data_files=files, language="de,fi")

    def test_the_language_column_of_rows(self, files, tmp_path) -> None:
        answers = {"text": ["a"], "answer_start": [0]}
        rows = [
            {"id": str(n), "title": "t", "context": "a b", "question": "?", "answers": answers, "language": code}
            for n, code in enumerate(("fi", "no", "no"))
        ]
        Dataset.from_list(rows).to_parquet(tmp_path / "mine.parquet")
        found = load(dataset=["file"], data_files=[files[0], str(tmp_path / "mine.parquet")]).train
        assert per_source(found) == {("same", "de"): 12, ("mine", "fi"): 1, ("mine", "no"): 2}

    def test_data_sets_stand_beside_files(self, files) -> None:
        given = {"dataset": ["sample:3:language=de,sv", "terms:4:language=sv:tokens=600", "file"]}
        rows = load(**given, data_files=files, tokens=2048, parties=4, background=BACKGROUND).train
        names = {source for source, _ in per_source(rows)}
        assert names == {"sample:language=de,sv", "terms:language=sv:tokens=600", "same", "other"}
        assert per_source(rows)["sample:language=de,sv", "sv"] == 3
        terms = [row for row in rows if row["source"].startswith("terms")]
        assert len(terms) == 4 and all(len(row["evidence"]["start"]) == 2 for row in terms)
        # The flags give what --dataset leaves open: four parties, each with a definition and a duty.
        assert all(row["context"].count("\n\n") >= 8 for row in terms)

    def test_flags_that_no_source_takes(self, files) -> None:
        arguments = FinetuneArguments(dataset=["terms", "file"], data_files=files, task=2)
        with pytest.raises(UserError, match="--task 2 is for none of the sources: leave it out"):
            arguments.check(SimpleNamespace())

    def test_they_are_not_evaluated_on(self, files) -> None:
        with pytest.raises(UserError, match="--do_eval would score what is trained on"):
            load(do_eval=True, dataset=["sample", "terms"])

    def test_files_behind_caps_patterns_and_options_are_what_a_run_is_known_by(self, files, tmp_path) -> None:
        arguments = FinetuneArguments(
            dataset=[f"terms:5:language=sv:background={tmp_path}/{{language}}.other.json", "file"],
            data_files=[f"{tmp_path}/*.same.json:5"],
            eval_data_files=[f"{files[2]}:2"],
            eval_background=str(tmp_path),
        )
        named = local_files(arguments)
        assert [path for path, _ in contents(named)] == sorted([*files, *files, files[2]])
        before = contents(named[:2])
        write(tmp_path / "de.same.json", "de", articles=5)
        changed = [old[0] for old, new in zip(before, contents(named[:2]), strict=True) if old != new]
        assert changed == [files[0]]

    def test_the_shares_are_said(self, files) -> None:
        table = load(dataset=["file"], data_files=[f"{files[0]}:3", *files[1:]]).shares
        assert "| same | de | 3 | 12 | 12.5% |" in table and "| all | | 24 | 33 | 100.0% |" in table


class TestCaps:
    def test_a_cap_draws_the_same_questions_whatever_stands_beside_it(self, files) -> None:
        alone = load(dataset=["file"], data_files=[f"{files[0]}:5", files[1]]).train
        drawn = {row["id"] for row in alone if row["language"] == "de"}
        assert len(drawn) == 5 and per_source(alone)["same", "en"] == 12
        with_others = load(dataset=["file"], data_files=[files[2], f"{files[0]}:5"]).train
        assert {row["id"].split(":")[1] for row in with_others if row["language"] == "de"} == drawn
        other_seed = load(seed=2, dataset=["file"], data_files=[f"{files[0]}:5", files[1]]).train
        assert {row["id"] for row in other_seed if row["language"] == "de"} != drawn

    def test_a_pattern_s_cap_is_of_each_file_and_more_than_there_are_is_all(self, files, tmp_path) -> None:
        rows = load(dataset=["file"], data_files=[f"{tmp_path}/*.same.json:5", f"{files[2]}:500"]).train
        assert per_source(rows) == {("same", "de"): 5, ("same", "en"): 5, ("other", "sv"): 9}

    def test_of_trivia_qa_a_question_keeps_all_its_documents(self, shared_data) -> None:
        folder = str(shared_data / "triviaqa")
        whole = load(dataset=["trivia_qa"], data_dir=folder).train
        rows = load(dataset=["trivia_qa:2"], data_dir=folder).train
        questions = set(rows["question_id"])
        assert len(questions) == 2
        assert len(rows) == sum(question in questions for question in whole["question_id"])


class TestEvaluation:
    """--eval_data_files takes what --data_files takes."""

    def evaluation(self, seed: int = 1, **given):
        return load(seed, do_eval=True, dataset=["sample"], **given).evaluation

    def test_files_and_patterns_with_caps(self, files, tmp_path) -> None:
        rows = self.evaluation(eval_data_files=[f"{tmp_path}/*.same.json:5", files[2]])
        assert per_source(rows) == {("same", "de"): 5, ("same", "en"): 5, ("other", "sv"): 9}
        assert sorted(set(rows["id"]))[0].startswith("other:q") and len(set(rows["id"])) < len(rows)
        assert set(self.evaluation(eval_data_files=files, eval_language="sv")["language"]) == {"sv"}

    def test_every_seed_is_scored_on_the_same_questions(self, files) -> None:
        one, two = (self.evaluation(seed, eval_data_files=[f"{files[0]}:5"])["id"] for seed in (1, 2))
        assert one == two and len(one) == 5 and all(":" not in key for key in one)

    def test_beside_a_data_set_that_code_makes_they_are_files(self, files) -> None:
        given = {"dataset": ["terms:2:language=sv:tokens=600"], "background": BACKGROUND}
        rows = load(do_eval=True, eval_data_files=files[2:], **given).evaluation
        assert per_source(rows) == {("other", "sv"): 9}

    def test_of_trivia_qa(self, shared_data) -> None:
        folder = shared_data / "triviaqa"
        questions = str(folder / "qa" / "wikipedia-dev.json")
        given = {"eval_dataset": "trivia_qa", "data_dir": str(folder)}
        assert self.evaluation(eval_data_files=[questions], **given)["question_id"]
        with pytest.raises(UserError, match="--eval_data_files of trivia_qa take no cap: give --max_eval_samples"):
            self.evaluation(eval_data_files=[f"{questions}:2"], **given)

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"eval_data_files": ["none.json:5"]}, "--eval_data_files 'none.json' is not a file: check the path"),
            ({"eval_data_files": ["sv.other.json:0"]}, "--eval_data_files 'sv.other.json:0' has the cap '0'"),
            ({"eval_data_files": ["*.json", "sv.other.json"]}, "--eval_data_files names 'sv.other.json' twice"),
            (
                {"eval_data_files": ["sv.other.json"], "eval_dataset": "terms"},
                "--eval_dataset 'terms' reads no --eval_data_files: leave one of them out",
            ),
            (
                {"eval_data_files": ["sv.other.json"], "eval_dataset": "de.same.json"},
                "--eval_dataset 'de.same.json' reads no --eval_data_files",
            ),
        ],
    )
    def test_a_mistake_is_one_sentence(self, files, tmp_path, monkeypatch, given, sentence) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=re.escape(sentence)):
            FinetuneArguments(dataset=["sample"], **given).check(SimpleNamespace())

    def test_an_id_that_comes_twice_in_a_source_is_refused(self, tmp_path) -> None:
        twice = write(tmp_path / "de.x.json", "de", ids="same")
        with pytest.raises(UserError, match=r"--eval_data_files '.*de.x.json' has the id 'same' twice in 'de'"):
            self.evaluation(eval_data_files=[twice])


class TestHeldOut:
    def test_the_last_of_each_source_with_its_translations(self, files) -> None:
        rows = load(do_eval=True, dataset=["file"], data_files=files, held_out_articles=1)
        held = {("same", "de"): 3, ("same", "en"): 3, ("other", "sv"): 3}
        assert per_source(rows.evaluation) == held
        assert not set(rows.train["id"]) & set(rows.evaluation["id"])
        assert per_source(rows.at_hand) == {("same", "de"): 9, ("same", "en"): 9, ("other", "sv"): 6}

    def test_caps_count_what_is_left(self, files) -> None:
        rows = load(do_eval=True, dataset=["file"], data_files=[f"{path}:6" for path in files], held_out_articles=1)
        assert set(per_source(rows.train).values()) == {6} and set(per_source(rows.evaluation).values()) == {3}

    def test_a_translation_in_another_source_goes_too(self, tmp_path) -> None:
        """SQuAD's own ids in a file of another name: the same question, and not another one to train on."""
        long = "56ddde6b9a695914005b{number:04}"
        names = [write(tmp_path / "train.json", "en", long), write(tmp_path / "sv.dev.json", "sv", long, 6)]
        rows = load(do_eval=True, dataset=["file"], data_files=names, held_out_articles=1)
        # The held-out articles: the fourth of one source, the last of the other.
        assert per_source(rows.evaluation) == {("train", "en"): 3, ("dev", "sv"): 6}
        ids = [{key.split(":")[1] for key in each["id"]} for each in (rows.train, rows.evaluation)]
        assert not ids[0] & ids[1]

    def test_a_language_before_the_id_is_no_part_of_it(self, tmp_path) -> None:
        names = [write(tmp_path / f"{code}.x.json", code, code + "-{number}") for code in ("en", "de")]
        rows = load(do_eval=True, dataset=["file"], data_files=names, held_out_articles=1)
        assert set(rows.evaluation["id"]) == {f"{code}-{n}" for code in ("en", "de") for n in (9, 10, 11)}

    def test_what_code_makes_has_no_articles(self, files) -> None:
        given = {"dataset": ["terms:3:language=sv:tokens=600"], "data_files": files, "held_out_articles": 1}
        rows = load(do_eval=True, background=BACKGROUND, **given)
        assert "terms:language=sv:tokens=600" not in rows.evaluation["source"] and len(rows.evaluation) == 9

    def test_a_source_with_too_few_is_named(self, files) -> None:
        with pytest.raises(UserError, match="--held_out_articles 3 leaves none of the 3 articles of other to train on"):
            load(dataset=["file"], data_files=files, held_out_articles=3)


class TestAcross:
    def test_the_share_that_is_asked_for(self, tmp_path) -> None:
        names = [write(tmp_path / f"{code}.x.json", code, articles=200) for code in ("de", "en", "fi")]
        names.append(write(tmp_path / "sv.alone.json", "sv", articles=100))
        rows = load(dataset=["file"], data_files=names, cross_language=0.4)
        questions = Questions(rows.at_hand)
        asked = list(ask_across(list(rows.train) * 2, questions, 0.4, seed=3))
        assert [{**row, "question": ""} for row in asked] == [{**row, "question": ""} for row in list(rows.train) * 2]
        across = 0
        pairs = Counter()
        for row in asked:
            language, number = row["question"].split(" asks ")
            assert number == f"{row['id'].split(':q')[1]}?"
            across += language != row["language"]
            pairs[row["language"], language] += 1
        assert pairs["sv", "sv"] == 600 and len(pairs) == 10
        assert abs(across / 3600 - 0.4) < 0.02 and max(pairs.values()) < 800
        # A question that comes twice is drawn anew the second time. The same seed draws the same.
        half = len(asked) // 2
        assert sum(a["question"] != b["question"] for a, b in zip(asked[:half], asked[half:], strict=True)) > 600
        assert asked == list(ask_across(list(rows.train) * 2, questions, 0.4, seed=3))
        assert "Of the questions, 1,800 are at hand in other languages" in rows.shares

    def test_what_a_cap_leaves_out_can_still_be_asked(self, files) -> None:
        rows = load(dataset=["file"], data_files=[files[0], f"{files[1]}:1"], cross_language=1.0)
        asked = list(ask_across(rows.train, Questions(rows.at_hand), 1.0, seed=1))
        assert all(row["question"].startswith({"de": "en", "en": "de"}[row["language"]]) for row in asked)

    def test_a_language_before_the_id_is_no_part_of_it(self, tmp_path) -> None:
        names = [write(tmp_path / f"{code}.x.json", code, code + "_{number}") for code in ("en", "de")]
        rows = load(dataset=["file"], data_files=names, cross_language=1.0)
        assert "24 are at hand" in rows.shares

    def test_a_held_out_question_is_asked_in_no_language(self, files) -> None:
        rows = load(dataset=["file"], data_files=files, held_out_articles=1, cross_language=1.0)
        questions = {row["question"] for row in ask_across(rows.train, Questions(rows.at_hand), 1.0, seed=1)}
        assert not any(f"asks {number}?" in question for number in (9, 10, 11) for question in questions)

    @pytest.mark.parametrize("ids", ["q{number}", "56ddde6b9a695914005b{number:04}"])
    def test_equal_ids_of_two_sources_are_not_the_same_question(self, tmp_path, ids) -> None:
        names = [write(tmp_path / "de.one.json", "de", ids), write(tmp_path / "en.two.json", "en", ids)]
        with pytest.raises(UserError, match=r"--cross_language 0\.4 finds no question of the training in a second"):
            load(dataset=["file"], data_files=names, cross_language=0.4)

    @pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
    def test_a_share_is_one(self, files, share) -> None:
        with pytest.raises(UserError, match=f"--cross_language {share} is not a share"):
            FinetuneArguments(dataset=["file"], data_files=files, cross_language=share).check(SimpleNamespace())

    def test_mlqa_s_dev_files_share_their_ids(self, shared_data) -> None:
        folder = shared_data / "multilingual"
        names = [f"{folder / code}.mlqa-dev.json:100" for code in ("de", "vi")]
        rows = load(dataset=["file"], data_files=names, cross_language=0.5)
        questions = Questions(rows.at_hand)
        with_others = [row for row in rows.train if questions.others(row)]
        assert len(rows.train) == 200 and len(with_others) > 20
        asked = list(ask_across(with_others, questions, 1.0, seed=1))
        assert all(one["question"] != other["question"] for one, other in zip(with_others, asked, strict=True))


class TestDocuments:
    def test_other_paragraphs_are_of_the_own_source_and_language(self, files) -> None:
        rows = list(load(dataset=["file"], data_files=files).train)
        for row, mixed in zip(rows, mix_lengths(rows, Mixture(1.0, 4)), strict=True):
            stem = {"de": "de.same", "en": "en.same", "sv": "sv.other"}[row["language"]]
            assert mixed["context"].count(f"{row['language']} text ") == mixed["context"].count(stem) > 1
            assert mixed["context"].count(" text ") == mixed["context"].count(stem)

    def test_what_a_cap_left_out_still_stands_around(self, files) -> None:
        rows = load(dataset=["file"], data_files=[f"{files[0]}:1", f"{files[2]}:1"])
        lone, _ = mix_lengths(list(rows.train), Mixture(1.0, 2), list(rows.at_hand))
        assert lone["context"].count("de text ") == 2

    def test_a_document_comes_whole_and_alone(self) -> None:
        rows = [dict(row) for row in qa_tiny.rows()]
        for row in rows[:6]:
            row["context"] += f" {row['context']}" * (DOCUMENT // len(row["context"]) + 1)
        mixed = list(mix_lengths(rows, Mixture(1.0, 8, unanswerable_fraction=0.5)))
        contexts = {row["context"] for row in rows[:6]}
        for before, after in zip(rows[:6], mixed[:6], strict=True):
            own = after["context"] == before["context"]
            assert after["context"] in contexts and own == bool(after["answers"]["text"])
        assert all(len(row["context"]) <= 8 * 100 for row in mixed[6:])
        assert any(row["context"].count(" to a sea ") > 1 for row in mixed[6:])

    def test_a_document_that_has_no_like_is_never_unanswerable(self) -> None:
        rows = [{**row, "context": row["context"] * 100} for row in qa_tiny.rows(1, 1)]
        mixed = list(mix_lengths(rows, Mixture(1.0, 8, unanswerable_fraction=1.0)))
        assert [row["context"] for row in mixed] == [row["context"] for row in rows]

    def test_a_row_that_says_its_evidence_is_not_changed(self) -> None:
        rows = [{**row, "evidence": {"start": [0], "end": [3]}} for row in qa_tiny.rows()]
        rows += [{**row, "evidence": {"start": [], "end": []}} for row in qa_tiny.rows()]
        mixed = list(mix_lengths(rows, Mixture(1.0, 8, unanswerable_fraction=0.5)))
        assert [row["context"] for row in mixed[:24]] == [row["context"] for row in rows[:24]]
        assert all(row["answers"]["text"] for row in mixed[:24])
        assert sum(one["context"] != other["context"] for one, other in zip(mixed[24:], rows[24:], strict=True)) > 20


def test_two_processes_train_an_adapter_further_on_several_sources(tmp_path, files) -> None:
    """Of an adapter its own matrices are trained further; both processes see the same rows, and the card says which."""
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoModelForQuestionAnswering

    base = qa_tiny.checkpoint(tmp_path / "model")
    config = LoraConfig(r=4, target_modules="all-linear", modules_to_save=["qa_outputs"])
    adapter = tmp_path / "adapter"
    get_peft_model(AutoModelForQuestionAnswering.from_pretrained(base), config).save_pretrained(adapter)
    output = tmp_path / "out"
    words = ["--model_name_or_path", str(adapter), "--data_files", f"{tmp_path}/*.same.json:6", files[2],
             "--dataset", "file", "sample:4:language=de,sv", "--cross_language", "0.5", "--long_fraction", "0.5",
             "--max_paragraphs", "3", "--max_length", "64", "--doc_stride", "8", "--max_question_length", "24",
             "--learning_rate", "0.01", "--max_steps", "2", "--per_device_train_batch_size", "2",
             "--gradient_accumulation_steps", "1", "--do_train", "--output_dir", str(output)]  # fmt: skip
    stderr = succeed("training/finetune.py", words, config="multi_gpu.yaml", HF_HOME=str(tmp_path / "home"))
    assert "29 questions became" in stderr and "| same | de | 6 | 12 | 20.7% |" in stderr
    card = (output / "README.md").read_text()
    assert (
        "| sample:language=de,sv | sv | 4 | 36 | 13.8% |" in card
        and "Of the questions, 20 are at hand in other languages" in card
    )
    assert "'*.same.json:6' sv.other.json --dataset file sample:4" in card and str(tmp_path) not in card
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, output))
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert any("lora_B" in name for name in moved) and any("qa_outputs" in name for name in moved)
    assert json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
