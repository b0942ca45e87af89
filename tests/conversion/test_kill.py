"""kill -9 at random moments of a conversion and its push: folder and repository are as before, absent or whole."""

import json
import os
import subprocess
import sys

import pytest

from conversion.checkpoint import read_checkpoint
from conversion.publish import WRITTEN

from .checkpoints import make_checkpoint

RUNS = 20

# It imports once, then forks a child for each run. So the kill falls into the work and not into the imports.
DRIVER = """
import json, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import transformers, huggingface_hub, jinja2
from conversion import convert
from foundation import push
from foundation.cli import run

source, work, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])

def child(number):
    pid = os.fork()
    if pid == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        sys.argv = ["convert", "--model_name_or_path", source, "--output_dir", f"{work}/long-{number}",
                    "--max_pos", "64", "--attention_window", "32", "--overwrite_output_dir",
                    "--push_to_hub", "--hub_model_id", f"org/long-{number}"]
        try:
            run(convert.main)
        except SystemExit as ended:
            os._exit(ended.code)
        os._exit(9)
    return pid

def running(pid):  # does not collect the child, which is still to be killed
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

def has_result(number):
    report = f"{work}/long-{number}/conversion_report.json"
    return os.path.exists(report) and open(report).read() != "old"

def wait_for_folder(number, pid):
    while not has_result(number) and running(pid):
        time.sleep(0.005)

start = time.time()
pid = child("whole")
wait_for_folder("whole", pid)
seconds = {"conversion": time.time() - start}
_, status = os.waitpid(pid, 0)
assert status == 0, status
seconds["push"] = time.time() - start - seconds["conversion"]
moments = random.Random(0)
killed = {"conversion": 0, "push": 0}
for number in range(runs):
    part = "conversion" if number < runs // 2 else "push"
    if number % 2:  # an earlier conversion's folder, which may be replaced
        os.makedirs(f"{work}/long-{number}")
        open(f"{work}/long-{number}/conversion_report.json", "w").write("old")
    pid = child(number)
    if part == "push":  # which starts when the folder is there
        wait_for_folder(number, pid)
    time.sleep(moments.uniform(0.02, 1.0) * seconds[part])
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    killed[part] += os.WIFSIGNALED(status)
    if not os.WIFSIGNALED(status):  # too late: this part was quicker than the first time
        seconds[part] *= 0.8
print(json.dumps({"killed": killed, "seconds": seconds}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kill_at_random_moments(loopback_hub, tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", "ForQuestionAnswering", positions=64)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(source), str(work), str(RUNS)],
        env=os.environ | loopback_hub.env(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout.splitlines()[-1])["killed"]
    print("killed", killed)
    assert killed["conversion"] > RUNS // 4 and killed["push"] > RUNS // 8
    expected = {path.name for path in (work / "long-whole").iterdir()}
    assert set(WRITTEN) <= expected
    states = {"absent": 0, "old": 0, "whole": 0, "pushed": 0}
    for number in range(RUNS):
        folder = work / f"long-{number}"
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        if not folder.exists():
            states["absent"] += 1
        elif names == {"conversion_report.json"}:
            assert number % 2
            states["old"] += 1
        else:
            assert names == expected
            assert read_checkpoint(folder).keys() == read_checkpoint(work / "long-whole").keys()
            assert json.loads((folder / "conversion_report.json").read_text())["proof"]["passed"]
            states["whole"] += 1
        if loopback_hub.store.repos.get(("model", f"org/long-{number}")):
            pushed = loopback_hub.files("model", f"org/long-{number}").keys() - {".gitattributes"}
            assert pushed in (set(), expected)
            states["pushed"] += bool(pushed)
    assert states["absent"] + states["old"] > 0 and states["whole"] >= RUNS // 2
    assert sum(states.values()) - states["pushed"] == RUNS
    print(states)
