"""The loader's tests once more, under the generation of `datasets` that is not installed here."""

import os
import re
import subprocess
import sys

import datasets
import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(
    int(datasets.__version__.split(".")[0]) >= 4, reason="these tests already run on datasets 4 or later"
)
def test_the_loader_on_datasets_5(datasets_5):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/hub_datasets/test_loading.py"]
    environment = {**os.environ, "PYTHONPATH": str(datasets_5.path[0])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout
    # Two tests skip themselves under `datasets` 4 and later: so those releases ran.
    assert re.search(r"\d\d passed", done.stdout)
    skipped = re.findall(r"^SKIPPED \[(\d+)\] (.*)$", done.stdout, re.MULTILINE)
    assert [int(count) for count, reason in skipped if "real data not present" not in reason] == [2]
