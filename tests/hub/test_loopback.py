"""The loopback Hub answers the real clients as the Hub does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, errors, get_session, hf_hub_download


@pytest.fixture(autouse=True)
def _client(loopback_hub, monkeypatch, tmp_path):
    loopback_hub.here(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def _create(hub, repo_id="org/thing", **arguments):
    hub.api().create_repo(repo_id, repo_type="dataset", **arguments)
    return {"repo_id": repo_id, "repo_type": "dataset"}


def test_a_commit_goes_up_and_comes_down_by_every_way(loopback_hub, tmp_path):
    where = _create(loopback_hub)
    api = loopback_hub.api()
    loopback_hub.app.lfs_threshold = 1_000
    large, small = os.urandom(5_000), "å ä ö".encode()
    commit = api.create_commit(
        **where,
        operations=[CommitOperationAdd("deep/large.dat", large), CommitOperationAdd("small.txt", small)],
        commit_message="two files",
    )
    assert any("PUT /large-files/" in request for request in loopback_hub.requests)
    assert api.dataset_info("org/thing").sha == commit.oid
    assert sorted(api.list_repo_files(**where)) == [".gitattributes", "deep/large.dat", "small.txt"]
    tree = {entry.path: entry for entry in api.list_repo_tree(**where, recursive=True)}
    assert tree["deep/large.dat"].lfs.size == 5_000 and tree["small.txt"].lfs is None and "deep" in tree
    infos = api.get_paths_info(**where, paths=["deep/large.dat", "nowhere"], expand=True)
    assert [info.path for info in infos] == ["deep/large.dat"] and infos[0].last_commit.oid == commit.oid
    for name, content in (("deep/large.dat", large), ("small.txt", small)):
        path = hf_hub_download(**where, filename=name, endpoint=loopback_hub.url, cache_dir=tmp_path / "other")
        assert Path(path).read_bytes() == content and commit.oid in path
    assert [c.title for c in api.list_repo_commits(**where)] == ["two files", "initial commit"]


def test_range_requests(loopback_hub):
    where = _create(loopback_hub)
    loopback_hub.api().upload_file(path_or_fileobj=b"0123456789", path_in_repo="digits", **where)
    url = f"{loopback_hub.url}/datasets/org/thing/resolve/main/digits"
    for asked, status, content in (("2-4", 206, b"234"), ("7-", 206, b"789"), ("-2", 206, b"89"), ("10-", 416, None)):
        response = get_session().get(url, headers={"Range": f"bytes={asked}"})
        assert response.status_code == status
        assert content is None or response.content == content


def test_a_commit_is_all_or_nothing(loopback_hub):
    where = _create(loopback_hub)
    with pytest.raises(errors.EntryNotFoundError):
        loopback_hub.api().create_commit(
            **where,
            operations=[CommitOperationAdd("new", b"x"), CommitOperationDelete("never/was")],
            commit_message="half",
        )
    assert loopback_hub.files("dataset", "org/thing") == {}


def test_a_commit_on_an_old_parent_is_refused(loopback_hub):
    where = _create(loopback_hub)
    api = loopback_hub.api()
    old = api.dataset_info("org/thing").sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a", **where)
    with pytest.raises(errors.HfHubHTTPError) as refusal:
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a", parent_commit=old, **where)
    assert refusal.value.response.status_code == 412
    assert loopback_hub.files("dataset", "org/thing") == {"a": b"1"}


def test_private_is_invisible_and_tokens_are_checked(loopback_hub):
    where = _create(loopback_hub, private=True)
    assert loopback_hub.api().dataset_info("org/thing").private
    assert loopback_hub.api(loopback_hub.read_token).dataset_info("org/thing").private
    for token in (False, loopback_hub.stranger_token):
        with pytest.raises(errors.RepositoryNotFoundError):
            loopback_hub.api(token).dataset_info("org/thing")
    loopback_hub.api().update_repo_settings(**where, private=False)
    assert not loopback_hub.api(False).dataset_info("org/thing").private
    for token, status in ((loopback_hub.read_token, 403), (loopback_hub.stranger_token, 403), ("hf_wrong", 401)):
        with pytest.raises(errors.HfHubHTTPError) as refusal:
            loopback_hub.api(token).upload_file(path_or_fileobj=b"1", path_in_repo="a", **where)
        assert refusal.value.response.status_code == status
    with pytest.raises(errors.HfHubHTTPError, match="namespace"):
        loopback_hub.api(loopback_hub.stranger_token).create_repo("org/theirs")
    assert loopback_hub.api().whoami()["name"] == "tester"


def test_branches_keep_their_own_files(loopback_hub):
    where = _create(loopback_hub)
    api = loopback_hub.api()
    api.upload_file(path_or_fileobj=b"1", path_in_repo="on_main", **where)
    first = api.list_repo_commits(**where)[-1].commit_id
    api.create_branch(**where, branch="with/slash", revision=first)
    api.create_branch(**where, branch="with/slash", exist_ok=True)
    api.upload_file(path_or_fileobj=b"2", path_in_repo="on_branch", revision="with/slash", **where)
    assert api.list_repo_files(**where, revision="with/slash") == [".gitattributes", "on_branch"]
    assert api.list_repo_files(**where) == [".gitattributes", "on_main"]
    assert {branch.name for branch in api.list_repo_refs(**where).branches} == {"main", "with/slash"}
    with pytest.raises(errors.RevisionNotFoundError):
        api.list_repo_files(**where, revision="nowhere")
    api.delete_branch(**where, branch="with/slash")
    assert [branch.name for branch in api.list_repo_refs(**where).branches] == ["main"]


def test_model_cards_are_validated_and_read(loopback_hub):
    api = loopback_hub.api()
    api.create_repo("tester/model")
    card = {"path_in_repo": "README.md", "repo_id": "tester/model"}
    api.upload_file(path_or_fileobj=b"---\nlicense: mit\nlanguage: [sv, de]\n---\n# Hej\n", **card)
    info = api.model_info("tester/model")
    assert info.card_data.license == "mit" and info.card_data.language == ["sv", "de"]
    for wrong in (b"---\nlanguage: [no]\n---\n", b"---\nlicense: [\n---\n"):  # YAML's no is False
        with pytest.raises(ValueError, match="Invalid metadata"):
            api.upload_file(path_or_fileobj=wrong, **card)
    assert len(api.list_repo_commits("tester/model")) == 2


def test_a_space_needs_an_sdk_and_keeps_variables(loopback_hub):
    api = loopback_hub.api()
    with pytest.raises(ValueError):
        api.create_repo("tester/page", repo_type="space")
    api.create_repo("tester/page", repo_type="space", space_sdk="gradio")
    api.add_space_variable("tester/page", "MODEL", "org/model")
    assert loopback_hub.repo("space", "tester/page").variables == {"MODEL": "org/model"}
    assert api.space_info("tester/page").sdk == "gradio"
    api.delete_repo("tester/page", repo_type="space")
    assert not api.repo_exists("tester/page", repo_type="space")


def test_a_long_tree_comes_in_pages(loopback_hub, monkeypatch):
    monkeypatch.setattr("tests.hub.app.PAGE", 7)
    where = _create(loopback_hub)
    operations = [CommitOperationAdd(f"f/{n:02}", b"x") for n in range(30)]
    loopback_hub.api().create_commit(**where, operations=operations, commit_message="many")
    names = [entry.path for entry in loopback_hub.api().list_repo_tree(**where, recursive=True)]
    assert names == [".gitattributes", "f", *(f"f/{n:02}" for n in range(30))]
    assert sum("/tree/" in request for request in loopback_hub.requests) == 5


@pytest.mark.parametrize(
    ("kind", "details", "error"),
    [
        ("status", {"status": 503}, errors.HfHubHTTPError),
        ("drop", {}, errors.HTTPError),
        ("lose", {}, errors.HTTPError),
        ("truncate", {}, errors.HTTPError),
    ],
)
def test_faults_reach_the_client_and_end(loopback_hub, kind, details, error):
    _create(loopback_hub)
    fault = loopback_hub.fail("GET /api/datasets/org/thing", kind, **details)
    with pytest.raises(error):
        loopback_hub.api().dataset_info("org/thing")
    assert fault.hits == 1
    assert loopback_hub.api().dataset_info("org/thing").id == "org/thing"


def test_a_lost_answer_was_handled_and_a_dropped_request_was_not(loopback_hub):
    where = _create(loopback_hub)
    for kind, files in (("drop", {}), ("lose", {"a": b"1"})):
        loopback_hub.fail("POST .*/commit/", kind)
        with pytest.raises(errors.HTTPError):
            loopback_hub.api().upload_file(path_or_fileobj=b"1", path_in_repo="a", **where)
        assert loopback_hub.files("dataset", "org/thing") == files


def test_a_stall_outlasts_the_clients_patience(loopback_hub):
    _create(loopback_hub)
    loopback_hub.fail("GET /api/datasets", "stall", seconds=2)
    with pytest.raises(errors.HTTPError):
        loopback_hub.api().dataset_info("org/thing", timeout=0.2)


def test_a_large_file_must_match_its_checksum_and_signature(loopback_hub):
    oid = "0" * 64
    assert get_session().put(f"{loopback_hub.url}/large-files/{oid}", content=b"x").status_code == 403
    _create(loopback_hub)
    wish = {"operation": "upload", "objects": [{"oid": oid, "size": 1}]}
    batch = f"{loopback_hub.url}/datasets/org/thing.git/info/lfs/objects/batch"
    assert get_session().post(batch, json=wish).status_code == 401
    headers = {"Authorization": f"Bearer {loopback_hub.token}"}
    href = get_session().post(batch, json=wish, headers=headers).json()["objects"][0]["actions"]["upload"]["href"]
    assert get_session().put(href, content=b"x").status_code == 400
    assert loopback_hub.store.large_files == {}


def test_another_process_sees_it_through_the_environment(loopback_hub, tmp_path):
    loopback_hub.api().create_repo("org/thing", repo_type="dataset", private=True)
    code = "from huggingface_hub import HfApi; print(HfApi().dataset_info('org/thing').private)"
    environment = {**os.environ, **loopback_hub.env(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
    environment = {**os.environ, **loopback_hub.env(tmp_path, token=None)}
    environment.pop("HF_TOKEN", None)
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode != 0 and "RepositoryNotFoundError" in run.stderr
