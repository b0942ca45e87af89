"""Cards: a header that the Hub reads, and what their owner added stays."""

import pytest
import yaml
from huggingface_hub import DatasetCardData, ModelCard, ModelCardData

from foundation import cards

TEMPLATE = "---\n{{ card_data }}\n---\n\n# {{ name }}\n\n## Scores\n\n{{ text }}\n\n## Limits\n\nNone.\n"


@pytest.fixture
def write(tmp_path):
    """Write a card from `TEMPLATE`; the path."""
    (tmp_path / "card.md.j2").write_text(TEMPLATE)

    def call(data=None, text="first", **more):
        data = data or ModelCardData(license="mit", language=["sv", "no"])
        return cards.write_card(tmp_path, data, tmp_path / "card.md.j2", name="org/x", text=text, **more)

    return call


def header(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_header_is_the_data_and_the_hub_reads_its_scores(write):
    results = cards.eval_results("question-answering", {"type": "a/b", "name": "B", "config": "sv"}, {"f1": 60.12346})
    text = write(ModelCardData(license="mit", language="no", model_name="x", eval_results=results)).read_text()
    # `no` is quoted, since YAML reads it as false.
    assert header(text)["license"] == "mit" and header(text)["language"] == "no"
    (result,) = ModelCard(text).data.eval_results
    assert (result.dataset_type, result.dataset_config, result.metric_type) == ("a/b", "sv", "f1")
    assert result.metric_value == 60.1235 and "base_model" not in header(text)
    assert "viewer: false" in write(DatasetCardData(viewer=False)).read_text()


def test_a_name_that_nobody_gives_is_our_mistake(write, tmp_path):
    (tmp_path / "card.md.j2").write_text(TEMPLATE + "{{ stpes }}")
    with pytest.raises(KeyError, match="stpes"):
        write()
    assert not (tmp_path / "README.md").exists()


def test_what_the_owner_added_stays_when_the_card_is_written_again(write, tmp_path):
    card = write()
    assert card.read_text() == write().read_text()
    added = card.read_text().replace("license: mit", "license: mit\nthumbnail: a.png") + "\n## Mine\n\nBy hand.\n"
    card.write_text(added)
    text = write(ModelCardData(library_name="peft"), text="second").read_text()
    assert text.endswith("stay. -->\n\n## Mine\n\nBy hand.\n") and "second" in text and "first" not in text
    # The program wrote the old licence, and gives none now. The owner added the thumbnail, so it stays.
    assert header(text) == {"library_name": "peft", "thumbnail": "a.png"}
    assert write(ModelCardData(library_name="peft"), text="second").read_text() == text


@pytest.mark.parametrize(
    ("old", "kept", "text"),
    [
        ("---\nlicense: gpl-3.0\ngated: true\n---\n", {"gated": True}, ""),  # a card that the Hub's web form made
        ("# Mine\r\n\r\nBy hand.", {}, "# Mine\r\n\r\nBy hand."),
        ("---\nlicense: [\n---\nBroken header.\n", {}, "Broken header."),
    ],
)
def test_a_card_that_no_program_wrote_is_kept_below_the_line(write, old, kept, text):
    new = write().read_text()
    found = cards.with_additions(new, old)
    assert header(found) == {**header(new), **kept}
    assert found.split("stay. -->")[1].strip() == text
    assert cards.with_additions(new, found) == found  # doing it again changes nothing
    assert cards.with_additions(old, new) == old  # a card is not added to itself


def test_new_scores_leave_the_rest_of_a_card_as_it_is(write, tmp_path):
    before = write()
    before.write_text(before.read_text() + "\nBy hand.\n")
    old = before.read_text()
    results = cards.eval_results("fill-mask", {"type": "text", "name": "t"}, {"loss": 1.5})
    text = cards.renew_section(before, "Scores", r"a \1 table", results).read_text()
    assert r"a \1 table" in text and "first" not in text and "By hand." in text and "## Limits\n\nNone." in text
    assert ModelCard(text).data.eval_results[0].metric_value == 1.5 and ModelCard(text).data.model_name == "org/x"
    again = cards.renew_section(before, "Scores", "first", []).read_text()
    assert "model-index" not in header(again) and again.replace(", model-index", "") == old
    (tmp_path / "README.md").write_text("# By hand\n\n## Scores\n\n1\n\n## Limits")
    assert cards.renew_section(tmp_path / "README.md", "Scores", "2", []) is None
    assert cards.renew_section(tmp_path / "nowhere.md", "Scores", "2", []) is None


def test_origin_is_read_as_the_hub_reads_it(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: other\nlicense_name: x\nlanguage:\n- no\n- sv\n---\n")
    expected = {"license": "other", "license_name": "x", "license_link": None, "language": ["no", "sv"]}
    assert cards.read_origin(card) == {**expected, "base_model": None}
    card.write_text("---\nlicense: [\n---\n")
    assert cards.read_origin(card) == cards.read_origin(tmp_path / "nowhere") == dict.fromkeys(cards.ORIGIN)


def test_a_public_command_has_no_token_and_no_path_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my file.json").touch()
    words = ["--hub_token", "hf_x", "--a", "data/my file.json", f"--b={tmp_path}/out", "--hub-token=hf_x", "--c"]
    words += ["org/model", "--d", "../secret/x.json", "~/y", "data/*.json", "0.5", "squad", "--hub_token=hf_x"]
    assert cards.public_words(words) == [
        "--a", "my file.json", "--b=out", "--c", "org/model", "--d", "x.json", "y", "*.json", "0.5", "squad",
    ]  # fmt: skip
