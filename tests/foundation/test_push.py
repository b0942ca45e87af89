"""push_folder against a real Hub client: one commit, whatever happens on the way."""

from functools import partial

import pytest
from huggingface_hub import ModelCardData

from foundation import push
from foundation.cards import write_card
from foundation.cli import UserError
from foundation.model_files import REPLACED
from foundation.push import push_folder, settle

PUSH = {"private": None, "message": "Publish"}


@pytest.fixture(autouse=True)
def _hub(loopback_hub, monkeypatch):
    loopback_hub.here(monkeypatch)
    loopback_hub.app.lfs_threshold = 1_000
    monkeypatch.setattr(push, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "built"
    (folder / "deep").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Hej å ä ö\n")
    (folder / "deep" / "large.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "deep" / "empty").touch()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    return folder


def _contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_one_commit_and_none_for_nothing_new(loopback_hub, folder, repo_type):
    url = push_folder(folder, "org/thing", repo_type, private=True, message="Publish")
    oid = loopback_hub.repo(repo_type, "org/thing").branches["main"]
    assert url is not None and url.startswith(loopback_hub.url) and url.endswith(f"org/thing/commit/{oid}")
    assert loopback_hub.files(repo_type, "org/thing") == _contents(folder)
    assert loopback_hub.repo(repo_type, "org/thing").private
    assert push_folder(folder, "org/thing", repo_type, private=True, message="Publish") is None
    assert loopback_hub.titles(repo_type, "org/thing") == ["Publish", "initial commit"]


@pytest.mark.parametrize("status", [401, 404])
def test_with_the_clients_own_transport_a_refusal_is_one_sentence_too(loopback_hub, folder, monkeypatch, status):
    """Xet, which the client takes for large files unless told otherwise; it speaks to no Hub of ours."""
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    loopback_hub.fail("xet-write-token", "status", times=9, status=status)
    with pytest.raises(UserError, match=rf"^org/thing was not pushed: the Hub cannot be reached .*{status}.* is kept"):
        push_folder(folder, "org/thing", "model", **PUSH)
    assert any("xet-write-token" in request for request in loopback_hub.requests)
    assert loopback_hub.files("model", "org/thing") == {}


def test_only_what_differs_goes_up_and_only_what_is_asked_goes(loopback_hub, folder):
    push_folder(folder, "org/thing", "dataset", **PUSH)
    (folder / "README.md").write_text("changed")
    (folder / "deep" / "empty").unlink()
    (folder / "deep" / "large.bin").unlink()
    push_folder(folder, "org/thing", "dataset", delete_patterns=["*/*.bin"], **PUSH)
    assert loopback_hub.files("dataset", "org/thing") == {"README.md": b"changed", "deep/empty": b""}
    push_folder(folder, "org/thing", "dataset", delete_patterns=["**"], **PUSH)
    assert loopback_hub.files("dataset", "org/thing") == {"README.md": b"changed"}
    assert ".gitattributes" in loopback_hub.repo("dataset", "org/thing").commit_at("main").files


def test_a_branch_starts_empty_and_leaves_main_alone(loopback_hub, folder):
    push_folder(folder, "org/thing", "dataset", **PUSH)
    (folder / "README.md").unlink()
    push_folder(folder, "org/thing", "dataset", revision="parquet", **PUSH)
    assert loopback_hub.files("dataset", "org/thing", "parquet") == _contents(folder)
    assert "README.md" in loopback_hub.files("dataset", "org/thing")
    assert push_folder(folder, "org/thing", "dataset", revision="parquet", **PUSH) is None


CALLS = {
    "create": "POST /api/repos/create",
    "info": "GET /api/datasets/org/thing/revision/main",
    "tree": "GET /api/datasets/org/thing/tree/",
    "preupload": "POST .*/preupload/",
    "batch": "POST .*/objects/batch",
    "put": "PUT /large-files/",
    "verify": "POST .*/objects/verify",
    "commit": "POST .*/commit/",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("kind", "details"),
    [("status", {"status": 500}), ("status", {"status": 503}), ("status", {"status": 429}), ("drop", {}), ("lose", {})],
    ids=["500", "503", "429", "drop", "lose"],
)
def test_a_passing_fault_anywhere_still_makes_exactly_one_commit(loopback_hub, folder, call, kind, details):
    fault = loopback_hub.fail(CALLS[call], kind, times=2, **details)
    assert push_folder(folder, "org/thing", "dataset", **PUSH) is not None
    assert fault.hits >= 1
    assert loopback_hub.files("dataset", "org/thing") == _contents(folder)
    assert loopback_hub.titles("dataset", "org/thing") == ["Publish", "initial commit"]


@pytest.mark.parametrize("call", ["info", "tree", "commit"])
def test_a_body_cut_short_is_read_again(loopback_hub, folder, call):
    fault = loopback_hub.fail(CALLS[call], "truncate")
    push_folder(folder, "org/thing", "dataset", **PUSH)
    assert fault.hits == 1
    assert loopback_hub.titles("dataset", "org/thing") == ["Publish", "initial commit"]


@pytest.mark.parametrize("call", ["create", "info", "tree", "put", "commit"])
def test_a_stall_counts_as_lost(loopback_hub, folder, call, monkeypatch):
    monkeypatch.setattr(push, "STALL_SECONDS", 0.5)
    fault = loopback_hub.fail(CALLS[call], "stall", seconds=1_000)
    push_folder(folder, "org/thing", "dataset", **PUSH)
    assert fault.hits == 1
    assert loopback_hub.titles("dataset", "org/thing") == ["Publish", "initial commit"]


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("create", "verify")])
def test_a_lasting_fault_is_one_sentence_and_leaves_nothing_half(loopback_hub, folder, call):
    loopback_hub.fail(CALLS[call], "status", times=1_000, status=500)
    with pytest.raises(
        UserError, match=r"org/thing was not pushed: the Hub refused .*500.*; .*built is kept"
    ) as raised:
        push_folder(folder, "org/thing", "dataset", **PUSH)
    assert "\n" not in str(raised.value)
    assert loopback_hub.files("dataset", "org/thing") == {}
    assert len(_contents(folder)) == 3


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", ["create", "preupload", "commit"])
def test_a_refusal_is_not_repeated(loopback_hub, folder, call, status):
    fault = loopback_hub.fail(CALLS[call], "status", times=1_000, status=status)
    with pytest.raises(UserError, match="org/thing was not pushed"):
        push_folder(folder, "org/thing", "dataset", **PUSH)
    assert fault.hits == 1


def test_somebody_else_commits_between_our_look_and_our_commit(loopback_hub, folder, monkeypatch):
    api = loopback_hub.api()
    api.create_repo("org/thing", repo_type="dataset")
    difference, calls = push._Push.difference, []

    def slow(*arguments):
        answer = difference(*arguments)
        if not calls:
            api.upload_file(path_or_fileobj=b"x", path_in_repo="theirs", repo_id="org/thing", repo_type="dataset")
        calls.append(answer)
        return answer

    monkeypatch.setattr(push._Push, "difference", slow)
    push_folder(folder, "org/thing", "dataset", **PUSH)
    # Three commits: theirs, ours on the old parent, which is refused, and ours on the new one.
    assert sum("/commit/" in request for request in loopback_hub.requests) == 3
    assert loopback_hub.files("dataset", "org/thing") == {**_contents(folder), "theirs": b"x"}
    assert loopback_hub.titles("dataset", "org/thing")[0] == "Publish"


def _upload(hub, path, content, **where):
    hub.api().upload_file(path_or_fileobj=content, path_in_repo=path, repo_id="org/thing", **where)


@pytest.mark.parametrize("first", ["adapter", "whole", "sharded", "others"])
@pytest.mark.parametrize("second", ["adapter", "whole", "sharded"])
def test_a_push_leaves_one_kind_of_model_and_what_its_owner_wrote(loopback_hub, tmp_path, first, second):
    """As transformers would load it: an adapter beside a whole model would be put onto its old base."""
    kinds = {
        "adapter": ["adapter_config.json", "adapter_model.safetensors", "no_answer.json"],
        "whole": ["config.json", "model.safetensors", "conversion_report.json", "1_Pooling/config.json"],
        "sharded": ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json"],
        "others": ["config.json", "pytorch_model.bin", "vocab.txt", "tf_model.h5"],
    }  # fmt: skip
    by_hand = {"figure.png": b"p", "LICENSE": b"l", "docs/about.md": b"d", "examples.json": b"{}"}
    for kind in (first, second):
        (tmp_path / kind).mkdir(exist_ok=True)
        for name in kinds[kind]:
            (tmp_path / kind / name).parent.mkdir(exist_ok=True)
            (tmp_path / kind / name).write_text(f"{kind} {name}")
        push_folder(tmp_path / kind, "org/thing", "model", delete_patterns=REPLACED, **PUSH)
        for name, content in by_hand.items():
            _upload(loopback_hub, name, content)
    titles = loopback_hub.titles("model", "org/thing")
    expected = {name: f"{second} {name}".encode() for name in kinds[second]}
    assert loopback_hub.files("model", "org/thing") == {**expected, **by_hand}
    assert ".gitattributes" in loopback_hub.repo("model", "org/thing").commit_at("main").files
    assert titles.count("Publish") == (1 if first == second else 2)


def test_what_the_owner_added_to_the_card_stays(loopback_hub, tmp_path):
    (tmp_path / "card.md.j2").write_text("---\n{{ card_data }}\n---\n\n# x\n\nSteps: {{ steps }}\n")

    def publish(steps):
        write_card(tmp_path / "model", ModelCardData(license="mit"), tmp_path / "card.md.j2", steps=steps)
        return push_folder(tmp_path / "model", "org/thing", "model", **PUSH)

    # A repository that the Hub's web form made has a card with a header alone.
    loopback_hub.api().create_repo("org/thing")
    _upload(loopback_hub, "README.md", b"---\nlicense: gpl-3.0\nthumbnail: a.png\n---\n")
    publish(1)
    card = loopback_hub.files("model", "org/thing")["README.md"].decode()
    assert "license: mit" in card and "thumbnail: a.png" in card and "Steps: 1" in card
    _upload(loopback_hub, "README.md", f"{card}\n## By hand\n\nMine.\n".encode())
    assert publish(1) is None  # there is nothing new to push
    publish(2)
    card = loopback_hub.files("model", "org/thing")["README.md"].decode()
    assert card.endswith("## By hand\n\nMine.\n") and "Steps: 2" in card and "Steps: 1" not in card
    assert publish(2) is None


def test_a_bare_name_is_in_the_space_of_the_login_and_settled_before(loopback_hub, folder):
    assert settle("thing", "model") == "tester/thing" and settle("org/thing", "model", private=True) == "org/thing"
    assert loopback_hub.store.repos == {}  # asking has not made a repository
    url = push_folder(folder, "thing", "model", **PUSH)
    assert "/tester/thing/commit/" in url and loopback_hub.files("model", "tester/thing") == _contents(folder)
    assert push_folder(folder, "thing", "model", **PUSH) is None


@pytest.mark.parametrize("private", [True, False, None])
def test_the_visibility_of_what_existed_is_its_owner_s(loopback_hub, folder, private):
    for there in (True, False):
        loopback_hub.store.repos.clear()
        loopback_hub.api().create_repo("org/thing", private=there)
        if private and not there:
            for call in (settle, partial(push_folder, folder, message="Publish")):
                with pytest.raises(UserError, match=r"^--private is of a repository .* org/thing exists and is public"):
                    call(repo_id="org/thing", repo_type="model", private=True)
            assert loopback_hub.files("model", "org/thing") == {}
        else:
            push_folder(folder, "org/thing", "model", private=private, message="Publish")
        assert loopback_hub.repo("model", "org/thing").private is there


def test_settling_refuses_what_no_push_could_do(loopback_hub, monkeypatch):
    with pytest.raises(UserError, match=r"^--repo_id 'a b' is not a Hub id: give org/name$"):
        settle("a b", "model", argument="--repo_id")
    loopback_hub.fail("whoami", "status", status=500, times=2)
    assert settle("x", "model") == "tester/x"
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(UserError, match=r"^--hub_model_id 'x' cannot be pushed to: .*Invalid user token"):
        settle("x", "model")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="no login was found"):
        settle("org/x", "model")


def test_bad_input_is_a_sentence(loopback_hub, folder, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file"):
        push_folder(tmp_path / "empty", "org/thing", "dataset", **PUSH)
    with pytest.raises(UserError, match=r"not a Hub id"):
        push_folder(folder, "org/thing/too/deep", "dataset", **PUSH)
    with pytest.raises(UserError, match=r"was not pushed: .*403"):
        push_folder(folder, "stranger/thing", "dataset", **PUSH)
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(UserError, match=r"Invalid metadata in README\.md"):
        push_folder(folder, "org/thing", "dataset", **PUSH)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="HF_TOKEN"):
        push_folder(folder, "org/thing", "dataset", **PUSH)
