"""The loopback Hub as pytest fixtures; tests/conftest.py makes them known everywhere."""

from collections.abc import Iterator

import pytest

from .server import LoopbackHub


@pytest.fixture(scope="session")
def _running_hub() -> Iterator[LoopbackHub]:
    hub = LoopbackHub()
    yield hub
    hub.stop()


@pytest.fixture
def loopback_hub(_running_hub: LoopbackHub) -> Iterator[LoopbackHub]:
    """A Hub without repositories: .url, .token, .api(), .env(tmp_path), .here(monkeypatch), .fail(…), .files(…)."""
    _running_hub.reset()
    yield _running_hub
    _running_hub.reset()
