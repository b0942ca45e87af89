"""A Hub on 127.0.0.1: real sockets for the real clients, in a thread of the test process."""

import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from huggingface_hub import HfApi

from .app import HubApp
from .faults import Fault, FaultyApp
from .store import Repo, Store, User

WRITE_TOKEN = "hf_loopback_write"
READ_TOKEN = "hf_loopback_read"
STRANGER_TOKEN = "hf_loopback_stranger"


class LoopbackHub:
    """A running Hub with three users: `token` may write under "tester" and "org", `read_token` may read there, and
    `stranger_token` owns "stranger" only."""

    token = WRITE_TOKEN
    read_token = READ_TOKEN
    stranger_token = STRANGER_TOKEN

    def __init__(self) -> None:
        self.store = Store()
        self.store.users = {
            WRITE_TOKEN: User("tester", ("tester", "org"), True),
            READ_TOKEN: User("tester", ("tester", "org"), False),
            STRANGER_TOKEN: User("stranger", ("stranger",), True),
        }
        self.app = HubApp(self.store)
        self._faulty = FaultyApp(self.app)
        config = uvicorn.Config(
            self._faulty, host="127.0.0.1", port=0, http="h11", log_level="critical", proxy_headers=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the loopback Hub did not start within 20 s")
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)

    def api(self, token: str | bool | None = None) -> HfApi:
        """A client of this Hub with the writing token; `token=False` is nobody."""
        return HfApi(endpoint=self.url, token=self.token if token is None else token)

    def env(self, tmp: Path, token: str | None = WRITE_TOKEN) -> dict[str, str]:
        """Environment variables for a process whose Hub this is, with an empty cache under `tmp`."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(tmp / "hf_home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1",
        }
        return variables | ({"HF_TOKEN": token} if token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})

    def here(self, monkeypatch: Any, token: str = WRITE_TOKEN) -> None:
        """Make this the Hub of the test's own process, until the test ends."""
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_ENDPOINT", self.url)
        monkeypatch.setenv("HF_TOKEN", token)

    # --- faults, and what a test wants to know afterwards

    def fail(self, pattern: str, kind: str, times: int = 1, **details: Any) -> Fault:
        """Spoil the next `times` requests whose "METHOD /path" matches; see `faults.Fault` for the kinds."""
        return self._faulty.add(pattern, kind, times, **details)

    @property
    def requests(self) -> list[str]:
        """Every request so far, as "METHOD /path"."""
        return self._faulty.requests

    def reset(self) -> None:
        """Forget repositories, faults and requests; the users stay."""
        self.store.repos.clear()
        self.store.large_files.clear()
        self._faulty.faults.clear()
        self._faulty.requests.clear()
        self.app.lfs_threshold = 10 * 1024 * 1024

    def repo(self, repo_type: str, repo_id: str) -> Repo:
        return self.store.repos[repo_type, repo_id]

    def files(self, repo_type: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Path -> content at a revision, without the Hub's own .gitattributes."""
        commit = self.repo(repo_type, repo_id).commit_at(revision)
        return {path: blob.content for path, blob in commit.files.items() if path != ".gitattributes"}

    def titles(self, repo_type: str, repo_id: str, revision: str = "main") -> list[str]:
        """Titles of a branch's commits, newest first; the last is the Hub's own "initial commit"."""
        return [commit.title for commit in self.repo(repo_type, repo_id).history(revision)]
