"""push_folder against a real Hub client: one commit, whatever happens on the way."""

import pytest

from foundation import push
from foundation.cli import UserError
from foundation.push import push_folder

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
    push_folder(folder, "org/thing", "dataset", delete_patterns=["*.bin"], **PUSH)
    assert loopback_hub.files("dataset", "org/thing") == {"README.md": b"changed", "deep/empty": b""}
    push_folder(folder, "org/thing", "dataset", delete_patterns=["*"], **PUSH)
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
    difference, calls = push._difference, []

    def slow(*arguments):
        answer = difference(*arguments)
        if not calls:
            api.upload_file(path_or_fileobj=b"x", path_in_repo="theirs", repo_id="org/thing", repo_type="dataset")
        calls.append(answer)
        return answer

    monkeypatch.setattr(push, "_difference", slow)
    push_folder(folder, "org/thing", "dataset", **PUSH)
    # Theirs, ours on the parent that is no longer the newest, and ours again after another look.
    assert sum("/commit/" in request for request in loopback_hub.requests) == 3
    assert loopback_hub.files("dataset", "org/thing") == {**_contents(folder), "theirs": b"x"}
    assert loopback_hub.titles("dataset", "org/thing")[0] == "Publish"


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
