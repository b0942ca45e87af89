"""Paths and marks that every room's tests share."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from .hub.fixtures import _running_hub, loopback_hub  # noqa: F401 (fixtures for every room)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))

# No test may reach the real Hub: what needs one talks to the loopback Hub in tests/hub.
os.environ.setdefault("HF_HUB_OFFLINE", "0")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a machine lacks is one line of the summary, not a line for each test that wants it."""
    report = yield
    if report.when == "setup" and report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (str(ROOT / "tests"), None, report.longrepr[2])  # type: ignore[assignment]
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real SQuAD-format files; a checkout without it skips the tests that need it."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not present at {SHARED} (set SHARED_DATA)")
    return SHARED
