"""Golden cases of every metric, worked out by hand from the published definitions named beside them.

None of the expected numbers came out of our own code. `test_metrics_official.py` compares with the official scripts
themselves, where somebody has them.
"""

import json
import re
import subprocess
import sys

import pytest

from foundation.cli import UserError
from training import metrics as command
from training.corpora import normalise
from training.scoring.gold import gold_answers
from training.scoring.metrics import best_threshold, score


def squad_file(*questions: tuple[str, list[str]]) -> dict:
    """A SQuAD-format tree with these (id, answers)."""
    qas = [
        {"id": identifier, "question": "?", "answers": [{"text": text, "answer_start": 0} for text in answers]}
        for identifier, answers in questions
    ]
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": qas}]}]}


def one(metric: str, prediction: str, answers: list[str], language: str = "en") -> tuple[float, float]:
    result = score(metric, squad_file(("q", answers)), {"q": prediction}, language)
    return result["exact_match"], result["f1"]


class TestSquad:
    """evaluate-v1.1.py (rajpurkar.github.io/SQuAD-explorer): `normalize_answer`, `f1_score`, `evaluate`."""

    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("The Eiffel-Tower, a.k.a. 'La Tour'!", "eiffeltower aka la tour"),  # a.k.a. loses its dots before articles
            ("an  apple\ta\nday", "apple day"),
            ("Panthers' 24–10", "panthers 24–10"),  # the en dash is no ASCII punctuation and stays
            ("«Paris»", "«paris»"),
            ("theatre", "theatre"),
            ("", ""),
        ],
    )
    def test_normaliser(self, text: str, normal: str) -> None:
        assert normalise.squad(text) == normal

    def test_f1_counts_common_tokens(self) -> None:
        # Prediction: cat sat on mat (4), answer: cat sat mat (3), common 3: P 3/4, R 1, F1 2 * .75 / 1.75 = 6/7.
        assert one("squad", "The cat sat on a mat.", ["cat sat mat"]) == (0.0, pytest.approx(600 / 7, abs=1e-12))

    def test_a_token_counts_as_often_as_it_stands(self) -> None:
        # Prediction: new new york, answer: new york: common 2 of 3 and of 2: P 2/3, R 1, F1 4/5.
        assert one("squad", "New New York", ["New York"]) == (0.0, pytest.approx(80.0, abs=1e-12))

    def test_best_answer_of_several(self) -> None:
        assert one("squad", "John Smith", ["Dr John Smith", "the John Smith!"]) == (100.0, 100.0)

    def test_two_empty_texts_match_but_share_no_token(self) -> None:
        assert one("squad", "A", ["The"]) == (100.0, 0.0)

    def test_unanswered_question_counts_as_0_and_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        gold = squad_file(("q1", ["yes"]), ("q2", ["no"]), ("q3", ["no"]))
        result = score("squad", gold, {"q1": "yes", "q3": "yes no"})
        # 1 of 3 exact; F1 of q3: P 1/2, R 1, so 2/3: (1 + 0 + 2/3) / 3 = 5/9.
        assert result["exact_match"] == pytest.approx(100 / 3, abs=1e-12)
        assert result["f1"] == pytest.approx(500 / 9, abs=1e-12)
        assert "Unanswered question q2 will receive score 0." in capsys.readouterr().err

    def test_an_id_that_comes_twice_is_refused(self) -> None:
        """One prediction cannot answer two questions: the script would count it for both."""
        with pytest.raises(UserError, match="the id 'q' twice"):
            score("squad", squad_file(("q", ["yes"]), ("q", ["no"])), {"q": "yes"})

    def test_sums_as_the_script_does(self) -> None:
        # Ten times 0.1 added one after the other is 0.9999999999999999, not 1.0 (evaluate-v1.1.py adds by `+=`).
        answers = ["x " + " ".join(f"w{i}" for i in range(18))]  # prediction x: P 1, R 1/19, F1 0.1
        gold = squad_file(*((f"q{i}", answers) for i in range(10)))
        one_f1 = 2 * 1.0 * (1 / 19) / (1.0 + 1 / 19)
        total = 0.0
        for _ in range(10):
            total += one_f1
        assert score("squad", gold, {f"q{i}": "x" for i in range(10)})["f1"] == 100.0 * total / 10

    def test_question_without_answers_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"'q' has no gold answer.*squad_v2"):
            one("squad", "x", [])


class TestSquadV2:
    """evaluate-v2.0.py: `compute_f1`, `get_raw_scores`, `apply_no_ans_threshold`, `find_best_thresh`."""

    GOLD = squad_file(("a", ["cat"]), ("b", []), ("c", []), ("d", ["red car"]))
    PREDICTIONS = {"a": "the cat", "b": "dog", "c": "", "d": "car"}  # noqa: RUF012
    NA_PROBS = {"a": 0.1, "b": 0.8, "c": 0.5, "d": 0.3}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("prediction", "answers", "expected"),
        [
            ("", [], (100.0, 100.0)),
            ("the", [], (100.0, 100.0)),  # normalises to nothing, which is "no answer"
            ("cat", [], (0.0, 0.0)),
            ("", ["cat"], (0.0, 0.0)),
            ("cat", ["the", "cat"], (100.0, 100.0)),  # an answer that normalises to nothing is left out
            ("", ["the"], (100.0, 100.0)),  # and a question without any other answer counts as unanswerable
        ],
    )
    def test_no_answer(self, prediction: str, answers: list[str], expected: tuple[float, float]) -> None:
        assert one("squad_v2", prediction, answers) == expected

    def test_split_by_answerability(self) -> None:
        # exact a 1, b 0, c 1, d 0; F1 of d: P 1, R 1/2: 2/3.
        result = score("squad_v2", self.GOLD, self.PREDICTIONS)
        assert result == {
            "exact_match": 50.0,
            "exact": 50.0,
            "f1": pytest.approx(100 * (1 + 1 + 2 / 3) / 4, abs=1e-12),
            "total": 4,
            "HasAns_exact": 50.0,
            "HasAns_f1": pytest.approx(100 * (1 + 2 / 3) / 2, abs=1e-12),
            "HasAns_total": 2,
            "NoAns_exact": 50.0,
            "NoAns_f1": 50.0,
            "NoAns_total": 2,
        }

    def test_best_thresholds(self) -> None:
        # Start at 2 unanswered rightly. By probability: a +1, d +0 (F1: +2/3), c +0 (empty), b -1.
        # exact: 2, 3, 3, 3, 2: best 3 of 4 at 0.1. F1: 2, 3, 3.67, 3.67, 2.67: best 3.67 of 4 at 0.3.
        result = score("squad_v2", self.GOLD, self.PREDICTIONS, na_probs=self.NA_PROBS)
        assert (result["best_exact"], result["best_exact_thresh"]) == (75.0, 0.1)
        assert (result["best_f1"], result["best_f1_thresh"]) == (pytest.approx(100 * (3 + 2 / 3) / 4, abs=1e-12), 0.3)

    def test_nothing_better_than_no_answer_at_all(self) -> None:
        questions = gold_answers(squad_file(("a", []), ("b", ["x"])))
        assert best_threshold(questions, {"a": "y", "b": "z"}, [0.0, 0.0], {"a": 0.2, "b": 0.4}) == (50.0, 0.0)

    def test_answering_what_has_no_answer_costs_a_point(self) -> None:
        # Start at 1. n (has no answer, gets "x") -1: 0; a (right) +1: 1, which is never better than the start.
        gold = squad_file(("n", []), ("a", ["cat"]))
        result = score("squad_v2", gold, {"n": "x", "a": "cat"}, na_probs={"n": 0.1, "a": 0.2})
        assert (result["best_exact"], result["best_exact_thresh"]) == (50.0, 0.0)

    def test_given_threshold(self) -> None:
        # Above 0.4: b (right, it has no answer) and c (right). a 1, d 0 and 2/3.
        result = score("squad_v2", self.GOLD, self.PREDICTIONS, na_probs=self.NA_PROBS, na_prob_thresh=0.4)
        assert result["exact"] == 75.0
        assert result["f1"] == pytest.approx(100 * (3 + 2 / 3) / 4, abs=1e-12)

    def test_missing_prediction_counts_as_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        # The script ends with a KeyError there, so there is no official number to meet.
        assert score("squad_v2", self.GOLD, {"a": "cat"})["exact"] == 25.0
        assert "Unanswered question b" in capsys.readouterr().err


class TestMlqa:
    """mlqa_evaluation_v1.py (github.com/facebookresearch/MLQA): its table of articles and its segmentation."""

    @pytest.mark.parametrize(
        ("language", "text", "normal"),
        [
            ("de", "Der Zug, in dem sie saß!", "zug in sie saß"),
            (
                "de",
                "„Desdemona“",
                "desdemona",
            ),  # the low quote is category Ps; "des" is an article at word borders only
            ("es", "La casa de los Austrias", "casa de austrias"),
            ("vi", "thủ đô của Việt Nam là Hà Nội", "thủ đô việt nam hà nội"),
            ("ar", "الكتاب", "كتاب"),
            ("ar", "مقالة", "مق ة"),  # "ال" goes wherever it stands, in the middle of a word too
            ("hi", "तीसरा, स्थान।", "तीसरा स्थान"),  # the danda is category Po
            ("zh", "在NFL联赛中，排名第6。", "在 nfl 联 赛 中 排 名 第 6"),
            ("en", "“The” U.S.$", "us"),  # $ is category Sc, and in string.punctuation
        ],
    )
    def test_normaliser(self, language: str, text: str, normal: str) -> None:
        assert normalise.mlqa(text, language) == normal

    def test_chinese_f1_is_by_character(self) -> None:
        # Prediction 308 (1 token), answer 308 分 (2): P 1, R 1/2, F1 2/3.
        assert one("mlqa", "308", ["308分"], "zh") == (0.0, pytest.approx(200 / 3, abs=1e-12))

    def test_where_it_differs_from_squad(self) -> None:
        assert one("mlqa", "„Paris“", ["Paris"], "de") == (100.0, 100.0)
        assert one("squad", "„Paris“", ["Paris"], "de") == (0.0, 0.0)

    def test_unknown_language(self) -> None:
        with pytest.raises(UserError, match="--lang 'sv' is none of MLQA's"):
            one("mlqa", "x", ["x"], "sv")


def trivia_file(domain: str, verified: bool = False) -> dict:
    """Two questions in TriviaQA's layout (github.com/mandarjoshi90/triviaqa, samples/triviaqa_sample.json)."""
    answer = {"Value": "Sunset Boulevard", "NormalizedAliases": ["sunset boulevard", "sunset blvd"]}
    person = {"Value": "x", "NormalizedAliases": ["henry campbell bannerman"], "HumanAnswers": ["C-B, the “old man”"]}
    return {
        "Domain": domain,
        "VerifiedEval": verified,
        "Version": 1.0,
        "Data": [
            {
                "QuestionId": "tc_1",
                "Answer": answer,
                "QuestionPartOfVerifiedEval": True,
                "EntityPages": [{"Filename": "A.txt", "DocPartOfVerifiedEval": True}],
                "SearchResults": [{"Filename": "1/1_2.txt", "DocPartOfVerifiedEval": False}],
            },
            {
                "QuestionId": "tc_2",
                "Answer": person,
                "QuestionPartOfVerifiedEval": False,
                "EntityPages": [{"Filename": "B.txt", "DocPartOfVerifiedEval": False}],
            },
        ],
    }


class TestTriviaQa:
    """triviaqa_evaluation.py and dataset_utils.py of github.com/mandarjoshi90/triviaqa."""

    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("The_Sunset_Blvd.", "sunset blvd"),
            ("Campbell-Bannerman", "campbell bannerman"),  # punctuation becomes a space, where SQuAD's joins the words
            ("O’Brien´s `a`", "o brien s"),
            ("“Paris”", "“paris”"),  # double curly quotes are not in the script's list
        ],
    )
    def test_normaliser(self, text: str, normal: str) -> None:
        assert normalise.triviaqa(text) == normal

    def test_wikipedia_is_scored_by_question(self) -> None:
        # tc_1 by its second alias; tc_2: old man, of the human answer c b “old man” (4 tokens; the quotes stick to
        # their words, so none is common with "old man") and of the alias none: 0.
        result = score("triviaqa", trivia_file("Wikipedia"), {"tc_1": "Sunset Blvd", "tc_2": "old man"})
        assert result == {"exact_match": 50.0, "f1": 50.0, "total": 2}

    def test_human_answers_count(self) -> None:
        # "C B" against c, b, “old, man”: common 2, P 1, R 1/2: 2/3.
        result = score("triviaqa", trivia_file("Wikipedia"), {"tc_1": "", "tc_2": "C B"})
        assert result["f1"] == pytest.approx(100 * (2 / 3) / 2, abs=1e-12)

    def test_web_is_scored_by_question_and_document(self) -> None:
        right = {"tc_1--A.txt": "Sunset Boulevard"}
        assert score("triviaqa", trivia_file("Web"), right)["exact_match"] == pytest.approx(100 / 3, abs=1e-12)
        # As in the official script, a bare question id is the id of no document.
        assert score("triviaqa", trivia_file("Web"), {"tc_1": "Sunset Boulevard"})["exact_match"] == 0

    def test_verified_files_count_the_verified_part(self) -> None:
        assert gold_answers(trivia_file("Wikipedia", verified=True)) == [("tc_1", ["sunset boulevard", "sunset blvd"])]
        assert [key for key, _ in gold_answers(trivia_file("Web", verified=True))] == ["tc_1--A.txt"]

    def test_test_file_without_answers(self) -> None:
        content = trivia_file("Wikipedia")
        del content["Data"][1]["Answer"]
        with pytest.raises(UserError, match="'tc_2' has no 'Answer'"):
            gold_answers(content)


class TestLanguageAware:
    """Our own definition, in the docstring of `normalise.language_aware`."""

    @pytest.mark.parametrize(
        ("language", "text", "normal"),
        [
            ("en", "The “cat”", "cat"),
            ("en", "The", "the"),  # nothing would be left
            ("en", "%", "%"),
            ("de", "der STRASSE", "strasse"),
            ("de", "Straße", "strasse"),
            ("fr", "L’État, c'est moi", "état cest moi"),
            ("sv", "ett skepp", "skepp"),
            ("el", "της Αθήνας", "αθήνασ"),  # case folding turns the final sigma, in the articles too
            ("ar", "الكِتاب", "كتاب"),  # without its article and its vowel signs
            ("ar", "مقالة", "مقالة"),  # no article in the middle of a word, unlike MLQA's script
            ("tr", "İSTANBUL", "istanbul"),
            ("tr", "IRAK", "ırak"),
            ("ru", "«Война и мир»", "война и мир"),
            ("hi", "३०८ अंक।", "308 अंक"),
            ("ar", "٣٠٨", "308"),
            ("zh", "３０８分，第NFL", "308 分 第 nfl"),
            ("th", "น้ำ", "น้ํ า"),  # the tone mark and nikhahit stay with their consonant
        ],
    )
    def test_normaliser(self, language: str, text: str, normal: str) -> None:
        assert normalise.language_aware(text, language) == normal

    def test_part_of_a_thai_answer_gets_part_of_the_score(self) -> None:
        # กขค against กขคง: 3 tokens of 3 and of 4: F1 6/7, where one token a word gives 0.
        assert one("language_aware", "กขค", ["กขคง"], "th") == (0.0, pytest.approx(600 / 7, abs=1e-12))
        assert one("squad", "กขค", ["กขคง"], "th") == (0.0, 0.0)

    @pytest.mark.parametrize(
        ("seen", "language"),
        [("Oslo", "en"), ("\u06a9\u062a\u0627\u0628", "fa"), ("\u0c15\u0c25", "te"), ("北京", "zh")],
    )
    @pytest.mark.parametrize("unseen", list("\u200b\u200c\u200d\u200e\u200f\u00ad\u2060\ufeff\u202a\u2069\ufe0f\u034f"))
    def test_what_nobody_sees_does_not_count(self, seen: str, language: str, unseen: str) -> None:
        for text in (unseen + seen, seen + unseen, seen[:1] + unseen + seen[1:]):
            assert one("language_aware", text, [seen], language) == (100.0, 100.0)
            assert one("language_aware", seen, [text], language) == (100.0, 100.0)

    def test_points_of_hebrew(self) -> None:
        pointed = "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd"
        for text in (pointed, "\ufb2a\u05b8\u05dc\ufb4b\u05dd"):  # the second in presentation forms
            assert one("language_aware", text, ["\u05e9\u05dc\u05d5\u05dd"], "he") == (100.0, 100.0)
        # The hyphen of Hebrew is punctuation, as every other.
        assert (
            normalise.language_aware("\u05d1\u05d9\u05ea\u05be\u05e1\u05e4\u05e8", "he")
            == "\u05d1\u05d9\u05ea\u05e1\u05e4\u05e8"
        )

    def test_a_sign_that_is_seen_stays(self) -> None:
        assert normalise.language_aware("\u0600\u0661\u0662", "ar") == "\u060012"

    def test_no_answer(self) -> None:
        assert one("language_aware", "", []) == (100.0, 100.0)
        assert one("language_aware", "x", []) == (0.0, 0.0)


class TestRows:
    def test_rows_score_as_their_file(self, shared_data) -> None:
        from training.corpora.load import load_qa

        path = shared_data / "xquad" / "xquad.zh.json"
        rows = load_qa("file", "validation", data_files=str(path))
        content = json.loads(path.read_text(encoding="utf-8"))
        predictions = {row["id"]: row["answers"]["text"][0][:3] for row in rows}
        for metric in ("squad", "squad_v2", "mlqa", "language_aware"):
            assert score(metric, rows, predictions, "zh") == score(metric, content, predictions, "zh")
        assert 0 < score("squad", rows, predictions)["exact_match"] < 100


class TestCommand:
    """`python -m training.metrics`, the stand-in for the official scripts."""

    def run(self, tmp_path, predictions: object, gold: object, *flags: str) -> subprocess.CompletedProcess[str]:
        for name, content in (("gold.json", gold), ("predictions.json", predictions)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "training.metrics", "--dataset_file", str(tmp_path / "gold.json")]
        command += ["--predictions_file", str(tmp_path / "predictions.json"), *flags]
        return subprocess.run(command, capture_output=True, text=True)

    def test_prints_one_json_line(self, tmp_path) -> None:
        gold = squad_file(("q1", ["Zug"]), ("q2", ["x"]))
        result = self.run(tmp_path, {"q1": "der Zug"}, gold, "--metric", "mlqa", "--lang", "de")
        assert result.returncode == 0
        assert result.stdout == '{"exact_match": 50.0, "f1": 50.0, "total": 2}\n'
        assert result.stderr == "Unanswered question q2 will receive score 0.\n"

    def test_no_answer_probabilities(self, tmp_path) -> None:
        (tmp_path / "na.json").write_text(json.dumps(TestSquadV2.NA_PROBS))
        flags = ("--metric", "squad_v2", "--na_prob_file", str(tmp_path / "na.json"))
        result = self.run(tmp_path, TestSquadV2.PREDICTIONS, TestSquadV2.GOLD, *flags)
        assert json.loads(result.stdout)["best_exact"] == 75.0

    @pytest.mark.parametrize(
        ("predictions", "gold", "flags", "sentence"),
        [
            ("{", squad_file(("q", ["x"])), ("--metric", "squad"), "predictions.json' is not JSON"),
            ([1], squad_file(("q", ["x"])), ("--metric", "squad"), "is no JSON object"),
            ({"q": 3}, squad_file(("q", ["x"])), ("--metric", "squad"), "the answer to 'q' is 3, not a text"),
            ({"q": "x"}, ["q", "x"], ("--metric", "squad"), "neither SQuAD's nor TriviaQA's format"),
            (
                {"q": "x"},
                {"Data": [{"QuestionId": "q", "Answer": {"Value": "x"}}], "Domain": "Wikipedia"},
                ("--metric", "triviaqa"),
                "KeyError('NormalizedAliases')",
            ),
            ({}, {"data": []}, ("--metric", "squad"), "holds no question"),
            ({}, {"rows": []}, ("--metric", "squad"), "neither 'data'"),
            ({}, {"data": [{"paragraphs": [{}]}]}, ("--metric", "squad"), "an entry has no 'qas'"),
            ({}, squad_file(("q", ["x"])), ("--metric", "mlqa", "--lang", "ro"), "--lang 'ro'"),
            ({}, squad_file(("q", ["x"])), ("--metric", "squad", "--na_prob_file", "x"), "--na_prob_file belongs to"),
        ],
    )
    def test_bad_input_is_one_sentence(self, tmp_path, predictions, gold, flags, sentence) -> None:
        result = self.run(tmp_path, predictions, gold, *flags)
        assert (result.returncode, result.stdout) == (2, "")
        assert sentence in result.stderr
        assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [([0.5], "is no JSON object"), ({"q": {"null_score": 1.5}}, "the probability of 'q' is {'null_score': 1.5}")],
    )
    def test_probabilities_are_numbers(self, tmp_path, monkeypatch, content, sentence) -> None:
        for name, data in (("gold", squad_file(("q", ["x"]))), ("predictions", {"q": "x"}), ("na", content)):
            (tmp_path / name).write_text(json.dumps(data))
        files = {"dataset_file": "gold", "predictions_file": "predictions", "na_prob_file": "na"}
        words = [word for flag, name in files.items() for word in (f"--{flag}", str(tmp_path / name))]
        monkeypatch.setattr("sys.argv", ["metrics", "--metric", "squad_v2", *words])
        with pytest.raises(UserError, match=re.escape(sentence)):
            command.main()

    def test_missing_file(self, tmp_path) -> None:
        command = [sys.executable, "-m", "training.metrics", "--metric", "squad", "--dataset_file", "nowhere.json"]
        result = subprocess.run([*command, "--predictions_file", "x"], capture_output=True, text=True)
        assert result.returncode == 2
        assert result.stderr == "error: --dataset_file 'nowhere.json' is not a file: check the path\n"
