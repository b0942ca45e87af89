"""How a command leaves."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

COMMAND = """
import atexit, sys
from foundation.cli import UserError, run

class Torn:
    def __del__(self):
        print("taken apart")

torn, status = Torn(), int(sys.argv[1])

def main():
    print("begun")
    if sys.argv[2] == "several":
        import torch
        torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
    if status == 2:
        raise UserError("--lr 0 trains nothing: give more")
    if status == 130:
        raise KeyboardInterrupt

atexit.register(print, "tidied")
run(main)
"""


@pytest.mark.parametrize("status", [0, 2, 130])
@pytest.mark.parametrize("processes", ["one", "several"])
def test_one_process_of_several_is_not_taken_apart(status, processes):
    """gloo's threads would abort it then, and a run that is done would count as failed."""
    command = [sys.executable, "-c", COMMAND, str(status), processes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stdout.split("\n")[:-1] == ["begun", "tidied"] + ["taken apart"] * (processes == "one")
    assert ("error: --lr 0 trains nothing: give more" in done.stderr) == (status == 2)
