"""The page under many visitors and under attack: how long they wait, and that it lives on.

    python -m benchmarks.space_load                       # starts the page: 21 clients, 60 s, then the attacks
    python -m benchmarks.space_load --clients 5 --seconds 10

Everything stays on loopback. Each client asks about the short examples in turn, the next question when the last is
answered; meanwhile one more reads a long book again and again.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from html import unescape
from pathlib import Path
from typing import Any

from benchmarks.hostile_files import many_pages, zip_bomb
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)> ${7*7} {{value}}"


@dataclass(frozen=True)
class Attack:
    """What was tried, what came back, and whether the page answered a question right after."""

    name: str
    reply: str
    survived: bool


class Visitor:
    """One session that speaks the page's own protocol, as its script in the browser does."""

    def __init__(self, url: str):
        import httpx

        self.http = httpx.Client(base_url=url.rstrip("/"), timeout=300)
        config = self.http.get("/config").json()
        self.endpoints = {d["api_name"]: d["id"] for d in config["dependencies"]}

    def call(self, name: str, *data: Any, session: str | None = None) -> Any:
        """Last output of one event; RuntimeError with the server's words when it fails."""
        session = session or uuid.uuid4().hex
        body = {"data": data, "fn_index": self.endpoints[name], "session_hash": session}
        # json.dumps writes half a surrogate as an escape, as a browser does.
        headers = {"content-type": "application/json"}
        joined = self.http.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)
        if joined.status_code != 200:
            raise RuntimeError(f"{joined.status_code} {joined.json().get('detail')}")
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    output = message["output"]
                    if not message["success"]:
                        raise RuntimeError(output.get("error") or message.get("title") or "an error without words")
                    return output["data"]
        raise RuntimeError("the connection ended without an answer")

    def ask(self, document: str, question: str) -> dict[str, Any]:
        return self.call("ask", document, question, 5)[0]

    def show(self, document: str, question: str) -> str:
        """What the page shows after a click on Ask, as markup: the answer's card and its place in the document."""
        session = uuid.uuid4().hex
        self.call("begin", session=session)
        return " ".join(str(part) for part in self.call("show_answer", document, question, "", session=session))

    def upload(self, name: str, content: bytes) -> Any:
        return self.http.post("/gradio_api/upload", files={"files": (name, content)})

    def open(self, name: str, content: bytes) -> str:
        """Upload a file and have it opened; the notice that the visitor sees, as text."""
        uploaded = self.upload(name, content)
        if uploaded.status_code != 200:
            return f"{uploaded.status_code} {uploaded.text}"
        return self.open_path(uploaded.json()[0])

    def open_path(self, path: str) -> str:
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": Path(path).name}
        notice = self.call("open_file", file)[1]
        return text_of(notice)


def load(url: str, clients: int, seconds: float, long_characters: int = 0) -> dict[str, Any]:
    """Closed loop of `clients` for `seconds`: answers, errors and percentiles of the waiting time in seconds.

    Args:
        long_characters: of a document that one more visitor has read all the while; 0 for none.
    """
    import numpy as np

    from space.gallery import examples

    texts = [example for example in examples().values() if len(example.text) < 3_000]
    waits: list[float] = []
    errors: list[str] = []
    deadline = time.monotonic() + seconds

    def visit(number: int) -> None:
        visitor, turn = Visitor(url), number
        while time.monotonic() < deadline:
            example = texts[turn % len(texts)]
            started = time.perf_counter()
            try:
                result = visitor.ask(example.text, example.questions[turn % len(example.questions)])
            except (RuntimeError, OSError) as error:
                errors.append(str(error))
            else:
                waits.append(time.perf_counter() - started)
                for found in result["n_best"]:
                    if example.text[found["start"] : found["end"]] != found["answer"]:
                        errors.append("an answer of another document")
            turn += clients

    long_waits: list[tuple[int, float]] = []

    def read_long() -> None:
        book = examples()["English, a book"]
        document = (book.text * (1 + long_characters // len(book.text)))[:long_characters]
        visitor = Visitor(url)
        while time.monotonic() < deadline:
            started = time.perf_counter()
            try:
                result = visitor.ask(document, book.questions[0])
            except (RuntimeError, OSError) as error:
                errors.append(str(error))
            else:
                long_waits.append((result["tokens"], time.perf_counter() - started))

    started = time.monotonic()
    reading = threading.Thread(target=read_long) if long_characters else None
    if reading:
        reading.start()
    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - started
    if reading:
        reading.join()
    if not waits:
        raise UserError(f"--clients {clients} got no answer in {seconds} s: {errors[:1]}")
    percentiles = {f"p{p}": round(float(np.percentile(waits, p)), 2) for p in (50, 90, 95, 99)}
    return {
        "clients": clients,
        "seconds": round(elapsed, 1),
        "answers": len(waits),
        "lost": len(errors),
        "per_second": round(len(waits) / elapsed, 2),
        **percentiles,
        "max": round(max(waits), 2),
        "long_tokens": long_waits[0][0] if long_waits else 0,
        "long_answers": len(long_waits),
        "long_max": round(max((wait for _, wait in long_waits), default=0.0), 2),
        "errors": sorted(set(errors)),
    }


def attacks(url: str, folder: Path) -> list[Attack]:
    """Try each attack and ask an ordinary question after it. `folder` is for the files that are sent."""
    visitor = Visitor(url)
    text = "The bridge was built in 1899. " * 20
    outside = folder / "not-yours.txt"
    outside.write_text("a file of the machine")

    def escaped() -> str:
        answer = visitor.show(HOSTILE + text, "<img src=x onerror=alert(1)> built?")
        raw = "<script>document" in answer or "<img" in answer
        return (
            f"MARKUP {answer}"
            if raw
            else "shown as text"
            if squeezed(HOSTILE) in squeezed(text_of(answer))
            else f"NOT SHOWN {answer}"
        )

    def refused(call: Callable[[], Any]) -> Callable[[], str]:
        def attempt() -> str:
            try:
                return f"answered: {str(call())[:120]}"
            except RuntimeError as error:
                return str(error)

        return attempt

    tried: dict[str, Callable[[], str]] = {
        "100 MB upload": lambda: visitor.open("big.txt", b"x" * (100 * 2**20)),
        **{
            f"zip bomb as {kind}": lambda kind=kind: visitor.open(
                f"bomb.{kind}", zip_bomb(folder / f"bomb.{kind}").read_bytes()
            )
            for kind in ("docx", "odt", "epub", "xlsx")
        },
        "PDF with 10,000 pages": lambda: visitor.open("pages.pdf", many_pages(folder / "pages.pdf").read_bytes()),
        "markup in document and question": escaped,
        "path of another file": refused(lambda: visitor.open_path(str(outside))),
        "path upwards": refused(lambda: visitor.open_path("../../../../../etc/hostname")),
        "file name with a path": lambda: visitor.open("../../../evil.txt", b"only text"),
        "control characters": refused(lambda: visitor.ask("\x00\x1b[2J\u202e" + text + "\ud800", "\x07 built in?")),
        "question of 200,000 characters": refused(lambda: visitor.ask(text, "a" * 200_000)),
        "document of 1,000,001 characters": refused(lambda: visitor.ask("x" * 1_000_001, "What?")),
        "empty question": refused(lambda: visitor.ask(text, "")),
    }
    results = []
    for name, attempt in tried.items():
        reply = " ".join(attempt().split())
        alive = visitor.ask(text, "When was the bridge built?")["tokens"] > 0
        results.append(Attack(name, reply, alive and outside.exists()))
    return results


def kept(temporary: Path) -> int:
    """Bytes of visitors' files that are still on disk (gradio leaves empty ones)."""
    return sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())


@contextlib.contextmanager
def running_page(temporary: Path) -> Iterator[str]:
    """`python -m space.app` as a visitor meets it, on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", "space.app", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None:
                    log.seek(0)
                    raise UserError(f"the page did not start: {log.read().strip().splitlines()[-1]}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def text_of(markup: str) -> str:
    import re

    return unescape(re.sub(r"<[^>]*>", " ", markup)).strip()


def squeezed(text: str) -> str:
    """Without white space: an answer's mark may begin and end within a word."""
    return "".join(text.split())


def main() -> None:
    parser = command_parser(
        description="Ask the page from many clients, then attack it.",
        example="python -m benchmarks.space_load --clients 20 --seconds 60",
    )
    parser.add_argument("--clients", type=int, default=20, help="visitors at the same time")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they ask")
    parser.add_argument(
        "--long_characters", type=int, default=270_000, help="of the book that one more visitor reads; 0 for none"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/space_load.json"), help="where the figures go")
    arguments = parser.parse_args()
    from benchmarks.machine import machine
    from foundation.tables import aligned

    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "uploads"
        with running_page(temporary) as url:
            figures = load(url, arguments.clients, arguments.seconds, arguments.long_characters)
            columns = [key for key in figures if key != "errors"]
            print(aligned(columns, [[figures[key] for key in columns]]), flush=True)
            tried = attacks(url, Path(folder))
            print(aligned(["attack", "lives on", "reply"], [[a.name, str(a.survived), a.reply[:90]] for a in tried]))
            left = kept(temporary)
            print(f"bytes of visitors' files kept: {left}")
    report = {
        "machine": machine(),
        "load": figures,
        "attacks": [asdict(attack) for attack in tried],
        "bytes_kept": left,
    }
    write_atomically(arguments.output, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run(main)
