"""What a machine lacks is said once."""

import subprocess
import sys

from tests.conftest import ROOT

CONFTEST = """
import pytest
from tests.conftest import pytest_runtest_makereport

@pytest.fixture(scope="session")
def browser():
    pytest.skip("no browser: install one")
"""


def test_a_reason_to_skip_is_one_line_however_many_tests_it_meets(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in ("test_one.py", "test_two.py"):
        (tmp_path / name).write_text("def test_a(browser): ...\ndef test_b(browser): ...\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert line.startswith("SKIPPED [4] ") and line.endswith("no browser: install one")
