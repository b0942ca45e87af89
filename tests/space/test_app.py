"""The page as a server: its named endpoint, its refusals, and that nothing of a visitor is left."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from gradio_client.utils import Status

from foundation.cli import UserError
from space.gallery import examples
from space.limits import MAX_BODY_BYTES, QUEUE_LENGTH, READINGS, TOO_LARGE
from space.model import check_space_model
from tests.conversion.checkpoints import make_checkpoint

TEXT = examples()["Svenska"].text


@pytest.fixture(scope="module")
def client(page_server):
    return Client(page_server.url, verbose=False)


def test_the_named_endpoint_answers_with_offsets(client):
    result = client.predict(TEXT, "Thomas Telford", 3, api_name="/ask")
    start = TEXT.index("Thomas Telford")
    assert (result["answered"], result["answer"]) == (True, "Thomas Telford")
    assert (result["start"], result["end"]) == (start, start + 14)
    assert len(result["n_best"]) <= 3
    assert result["n_best"][0]["probability"] == result["probability"] > 0.5
    assert result["windows"] > 1
    assert result["tokens"] > 300


def test_the_named_endpoint_says_not_answered(client):
    result = client.predict(TEXT, "zebra", api_name="/ask")
    assert result["answered"] is False
    assert (result["answer"], result["start"]) == ("", None)


@pytest.mark.parametrize(
    ("document", "question", "n_best", "sentence"),
    [
        ("", "Who?", 5, "the document is empty"),
        (TEXT, " ", 5, "the question is empty"),
        (TEXT, "a" * 200_000, 5, "the question has 200,000 characters"),
        ("x" * 1_000_001, "x", 5, "more than 1,000,000"),
        (TEXT, "Telford", 0, "n_best is 0: give a whole number from 1 to 20"),
    ],
)
def test_the_endpoint_refuses_in_a_sentence(client, document, question, n_best, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(document, question, n_best, api_name="/ask")
    assert client.predict(TEXT, "Telford", api_name="/ask")["answered"]


def test_the_endpoint_tells_sentence_page_and_definitions(client):
    document = 'Preface.\n\n\f"Expert" means a hydrographer.\n\n\fOthers wait. A dispute goes to the Expert alone.'
    result = client.predict(document, "Expert alone", api_name="/ask")
    (place, *_) = result["n_best"]
    assert (place["page"], place["sentence"]) == (3, "A dispute goes to the Expert alone.")
    (found,) = result["definitions"]
    assert (found["term"], found["text"]) == ("Expert", '"Expert" means a hydrographer.')
    assert document[found["start"] : found["end"]] == found["text"]


def test_the_endpoint_never_denies_across_languages(client):
    result = client.predict(TEXT, "When was the whole canal opened for ships?", api_name="/ask")
    assert (result["answered"], result["verdict"]) == (False, "uncertain")
    assert client.predict(TEXT, "När öppnades hela kanalen för fartyg?", api_name="/ask")["verdict"] == "absent"


def test_only_one_endpoint_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/ask"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_100_mb_is_refused(page_server, declared):
    body = (b"x" * 2**20 for _ in range(100))
    headers = {"content-length": str(100 * 2**20)} if declared else {}
    try:
        response = httpx.post(page_server.url + "gradio_api/queue/join", content=body, headers=headers, timeout=30)
    except (httpx.WriteError, httpx.RemoteProtocolError):
        pass  # the server hung up before the end
    else:
        assert (response.status_code, response.json()["detail"]) == (413, TOO_LARGE)
    assert httpx.get(page_server.url).status_code == 200


def test_an_upload_over_the_limit_is_refused_and_leaves_no_file(page_server):
    before = set(page_server.temporary.rglob("*"))
    big = b"x" * (MAX_BODY_BYTES - 2**19)
    response = httpx.post(page_server.url + "gradio_api/upload", files={"files": ("big.txt", big)}, timeout=30)
    assert response.status_code == 413
    assert "exceeded maximum allowed size" in response.text
    assert {path for path in page_server.temporary.rglob("*") if path.is_file()} <= before


def test_a_file_that_was_sent_and_never_opened_goes_by_itself(echo, tmp_path, monkeypatch):
    from space.page import build_page, launch_options

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = build_page(echo)
    assert sum(page.delete_cache) <= 180  # seconds
    page.delete_cache = (1, 1)
    _, url, _ = page.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **launch_options(echo))
    try:
        (path,) = httpx.post(url + "gradio_api/upload", files={"files": ("a.txt", b"left behind")}, timeout=30).json()
        assert Path(path).read_bytes() == b"left behind"
        deadline = time.monotonic() + 20
        while Path(path).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(path).exists()
    finally:
        page.close()


@pytest.mark.parametrize(
    "name", ["../../evil.txt", "..%2f..%2fevil.txt", "/etc/cron.d/evil.txt", "a\0b.txt", "CON.txt"]
)
def test_tricks_in_a_file_name_stay_inside_the_upload_folder(page_server, name):
    response = httpx.post(page_server.url + "gradio_api/upload", files={"files": (name, b"text")}, timeout=30)
    assert response.status_code in (200, 400, 422)
    if response.status_code == 200:
        (path,) = response.json()
        assert Path(path).resolve().is_relative_to(page_server.temporary.resolve())
        Path(path).unlink()


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", str(Path(__file__).resolve())])
def test_files_of_the_machine_are_not_served(page_server, path):
    response = httpx.get(page_server.url + "gradio_api/file=" + path)
    assert response.status_code in (403, 404)


def test_open_file_deletes_what_it_read_and_what_it_refused(tmp_path):
    from space.page import open_file

    request = SimpleNamespace(headers={})
    good, bad = tmp_path / "good.txt", tmp_path / "bad.pdf"
    good.write_text("Some text.")
    bad.write_text("no pdf")
    text, notice, cleared, name, example, questions, card, place = open_file(str(good), request)
    assert (text, cleared, name, example, place) == ("Some text.", None, "good.txt", None, "")
    assert questions["visible"] is False and "quiet empty" in card
    assert "10 characters" in notice
    _, notice, *_ = open_file(str(bad), request)
    assert "is damaged or not a real pdf file" in notice
    assert list(tmp_path.iterdir()) == []


def test_the_log_counts_and_quotes_nothing(client, caplog):
    with caplog.at_level(logging.DEBUG, logger="space"):
        client.predict("A secret-marker stands here.", "secret-marker", api_name="/ask")
        with pytest.raises(AppError):
            client.predict("", "secret-question", api_name="/ask")
    assert any("tokens in 1 windows" in message for message in caplog.messages)
    assert not any("secret" in message for message in caplog.messages)


def eventually(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.05)


def test_a_full_queue_is_said_in_a_sentence(page_server, echo, monkeypatch):
    """One question holds the reader while others queue up, until one is refused; all the others are answered."""
    gate = threading.Event()
    forward = type(echo.model).forward

    def slow(self, *args, **kwargs):
        gate.wait(120)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(echo.model), "forward", slow)
    clients = [Client(page_server.url, verbose=False) for _ in range(2)]

    def ask(count):
        return [clients[i % 2].submit(TEXT, "Telford", api_name="/ask") for i in range(count)]

    read: list[Any] = []
    while len(read) < READINGS:  # not all at once: what is asked faster than it is handed out waits, too
        read.extend(ask(QUEUE_LENGTH // 2))
        eventually(lambda: all(job.status().code is Status.PROCESSING for job in read))
    jobs = read + ask(QUEUE_LENGTH + 4)
    eventually(lambda: sum(job.done() for job in jobs) == 4)
    gate.set()
    errors = [str(error) for job in jobs if (error := job.exception(timeout=120)) is not None]
    assert len(errors) == 4
    assert set(errors) == {"Queue is full! Please try again."}
    assert sum(job.exception() is None for job in jobs) >= READINGS + QUEUE_LENGTH


@pytest.mark.parametrize("taken", [True, False])
def test_a_port_that_cannot_be_used_is_one_sentence(taken, monkeypatch):
    from space.app import main

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if taken else 99_999
        monkeypatch.setattr(sys, "argv", ["app", "--port", str(port)])
        with pytest.raises(UserError, match=f"--port {port} on --host 127.0.0.1 cannot be used"):
            main()


def test_a_port_that_is_none_is_one_sentence(monkeypatch):
    environment = os.environ | {"GRADIO_SERVER_PORT": "abc"}
    done = subprocess.run([sys.executable, "-m", "space.app"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: GRADIO_SERVER_PORT is 'abc': give a port such as 7860, or leave it unset\n"


@pytest.mark.parametrize("name", ["/does/not/exist", "a/b/c", "./nothing", "no spaces/here"])
def test_a_wrong_model_is_named_before_anything_is_loaded(name, monkeypatch):
    monkeypatch.setattr("space.model._ask_the_hub", lambda name: pytest.fail("asked the Hub for a path"))
    with pytest.raises(UserError, match=r"SPACE_MODEL .* is no folder and no id of the Hub"):
        check_space_model(name)


def test_a_model_that_the_hub_does_not_know_or_that_cannot_be_asked_for(monkeypatch, tmp_path):
    from huggingface_hub import errors

    def unknown(self, name, timeout):
        assert timeout <= 5
        raise errors.RepositoryNotFoundError(
            "404", response=httpx.Response(404, request=httpx.Request("GET", "http://x"))
        )

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unknown)
    with pytest.raises(UserError, match="SPACE_MODEL 'org/none' is no model on"):
        check_space_model("org/none")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *a, **k: (_ for _ in ()).throw(OSError("down")))
    with pytest.raises(UserError, match=r"SPACE_MODEL 'org/none' is no folder here, and .* cannot be asked"):
        check_space_model("org/none")
    monkeypatch.setattr("space.model._cached", lambda name: True)
    assert check_space_model("org/none") == "org/none"
    assert check_space_model(str(tmp_path)) == str(tmp_path) and check_space_model("") is None


def test_a_missing_model_is_said_at_once():
    environment = os.environ | {"SPACE_MODEL": "/does/not/exist"}
    command = [sys.executable, "-m", "space.app", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: SPACE_MODEL '/does/not/exist' is no folder")


def test_a_model_that_answers_no_questions_is_named_as_it_was_given(tmp_path):
    encoder = make_checkpoint(tmp_path / "encoder", "xlm-roberta")
    environment = os.environ | {"SPACE_MODEL": str(encoder)}
    command = [sys.executable, "-m", "space.app", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(f"error: SPACE_MODEL '{encoder}' has no question-answering head")


def test_plain_http_is_enough(page_server):
    """What docs/space.md does with curl."""
    url = page_server.url + "gradio_api/call/ask"
    event = httpx.post(url, json={"data": [TEXT, "Thomas Telford", 3]}, timeout=30).json()["event_id"]
    lines = httpx.get(f"{url}/{event}", timeout=30).text.splitlines()
    assert lines[0] == "event: complete"
    assert json.loads(lines[1].removeprefix("data: "))[0]["answer"] == "Thomas Telford"


def test_card_and_licence_are_plain_pages(page_server):
    assert "MIT" in httpx.get(page_server.url + "licence").text
    assert httpx.get(page_server.url + "card").status_code in (200, 404)
    assert httpx.get(page_server.url + "card").headers["content-type"].startswith("text/plain")


def test_openmp_spins_for_a_moment_unless_the_user_says_how_it_waits():
    code = "import os, space; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare, check=True)
    assert done.stdout == "None 1000\n"
    own = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=bare | {"OMP_WAIT_POLICY": "ACTIVE"},
        check=True,
    )
    assert own.stdout == "ACTIVE None\n"


def test_every_example_can_be_chosen():
    from space.page import choose_example

    for name, example in examples().items():
        text, question, choices, notice, title, card, place = choose_example(name, SimpleNamespace(headers={}))
        assert (title, place) == (example.title, "") and "quiet empty" in card
        assert text == example.text
        assert question in json.dumps(choices["choices"], ensure_ascii=False)
        assert example.title in notice
