"""Both generations of `datasets`, as environments of fresh processes in which none of our packages can be imported."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hub.server import LoopbackHub

SITE_PACKAGES = Path(sysconfig.get_paths()["purelib"])
DATASETS_5 = ROOT / ".cache" / "datasets5"

PROLOGUE = """
import importlib.util
with_ours = {with_ours}
rooms = ("foundation", "hub_datasets", "conversion", "training", "space")
assert with_ours == any(map(importlib.util.find_spec, rooms))
import datasets
assert datasets.__version__.startswith("{version}"), datasets.__version__
from datasets import load_dataset
"""


@dataclass
class Generation:
    """One generation of `datasets`; `run` executes code in a process that has it and nothing cached."""

    version: str
    path: list[Path]

    def run(self, code: str, folder: Path, environment: dict[str, str], with_ours: bool = False) -> str:
        """Standard output of a run that ends well; otherwise AssertionError with its last line of stderr."""
        folder.mkdir(parents=True, exist_ok=True)
        path = [*self.path, *([ROOT] if with_ours else [])]
        # -S leaves out .pth files. Through them Python would find an editable install of ours.
        command = [sys.executable, "-S", "-c", PROLOGUE.format(with_ours=with_ours, version=self.version) + code]
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        variables |= {"HF_HOME": str(folder / "hf_home"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"} | environment
        variables["PYTHONPATH"] = os.pathsep.join(map(str, path))
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
        return done.stdout


def _generation(version: str) -> Generation:
    if version == "3":
        if not (SITE_PACKAGES / "datasets").is_dir():
            pytest.skip("datasets is not in this environment's own folder")
        return Generation("3.6", [SITE_PACKAGES])
    if not (DATASETS_5 / "datasets").is_dir():
        pytest.skip(f"no datasets 5 in {DATASETS_5}: pip install --no-deps --target {DATASETS_5} datasets==5.2.0")
    return Generation("5.", [DATASETS_5, SITE_PACKAGES])


@pytest.fixture(scope="module")
def datasets_3() -> Generation:
    return _generation("3")


@pytest.fixture(scope="module")
def datasets_5() -> Generation:
    return _generation("5")


@pytest.fixture(scope="module", params=["3", "5"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return _generation(request.param)


@pytest.fixture(scope="module")
def module_hub():
    """A loopback Hub that a whole module shares, for what is slow to publish."""
    hub = LoopbackHub()
    yield hub
    hub.stop()
