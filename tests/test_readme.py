"""The README's calls print what the README says they print.

They run against the loopback Hub, in the README's order and its own words, in processes of their own. A tiny random
XLM-R stands in for the model, so figures (written with a decimal point in the README) may differ and are not compared.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from conversion.convert import convert
from foundation.push import push_folder
from tests.conftest import ROOT
from tests.conversion.checkpoints import make_checkpoint
from tests.docs_blocks import blocks, checkout, run_block

README = ROOT / "README.md"
FIGURE = re.compile(r" *\d+\.\d+")


def printed_after(block) -> str:
    """The ```text block that follows a code block: what the README says it prints."""
    rest = README.read_text(encoding="utf-8").split(block.code, 1)[1]
    match = re.search(r"^```(\w+)\n(.*?)^```", rest.split("```", 1)[1], flags=re.MULTILINE | re.DOTALL)
    assert match and match[1] == "text", f"no output stands below {block}"
    return match[2]


def call(word: str):
    """The one block of the README that holds `word`."""
    (block,) = [block for block in blocks(README) if word in block.code]
    return block


@pytest.fixture
def hub_as_described(loopback_hub, shared_data, tmp_path, monkeypatch) -> tuple[Path, dict[str, str]]:
    """A checkout-like folder, and the environment of a Hub that holds org/xquad_long and org/xlm-long-4096."""
    environment = {**loopback_hub.env(tmp_path / "home"), "HF_DATASETS_TRUST_REMOTE_CODE": "1"}
    options = f"--dataset xquad_long --repo_id org/xquad_long --nr_concats 3 --output_dir {tmp_path}/published"
    done = subprocess.run(
        [sys.executable, "-m", "hub_datasets.publish", *options.split(), "--source_dir", shared_data / "xquad"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    long = convert(make_checkpoint(tmp_path / "short", "xlm-roberta"), tmp_path / "long", max_pos=4096)
    loopback_hub.here(monkeypatch)
    push_folder(long, "org/xlm-long-4096", "model", private=False, message="Add the model")
    return checkout(tmp_path / "checkout"), environment


def test_the_scores_by_language_are_those_of_the_shipped_adapter():
    from benchmarks.languages import line

    scores = json.loads((ROOT / "space" / "adapter" / "scores.json").read_text(encoding="utf-8"))["languages"]
    assert line(scores) in README.read_text(encoding="utf-8"), "python -m benchmarks.languages prints the line anew"


def test_each_call_prints_what_the_readme_says(hub_as_described, tmp_path):
    folder, environment = hub_as_described
    for word in ("load_dataset(", "AutoModel.from_pretrained(", "training/finetune.py"):
        block = call(word)
        done = run_block(block, folder, {**environment, "PYTHONWARNINGS": "ignore"})
        assert done.returncode == 0, done.stdout
        assert FIGURE.sub("#", printed_after(block)).strip() in FIGURE.sub("#", done.stdout), done.stdout


def test_the_calls_need_none_of_our_packages(hub_as_described, tmp_path):
    """Data set and model load where this project is not installed: its names are blocked."""
    _, environment = hub_as_described
    block = "import sys\nfor name in ('hub_datasets', 'conversion', 'training', 'space'): sys.modules[name] = None\n"
    for word in ("load_dataset(", "AutoModel.from_pretrained("):
        done = subprocess.run(
            [sys.executable, "-c", block + call(word).code],
            cwd=tmp_path,
            env={**os.environ, **environment, "HF_HOME": str(tmp_path / "elsewhere")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == printed_after(call(word))


@pytest.mark.slow
def test_the_space_call_prints_what_the_readme_says(hub_as_described):
    folder, environment = hub_as_described
    block = call("space.publish")
    done = run_block(block, folder, environment)
    assert done.returncode == 0, done.stdout
    here = done.stdout.replace(environment["HF_ENDPOINT"], "https://huggingface.co")
    assert here.splitlines()[-1] == printed_after(block).strip()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quickstart_holds_its_promise(tmp_path):
    """Ends with its table, right about the offsets and the proof, in at most 6 GB."""
    done = subprocess.run(
        [sys.executable, "-m", "space.quickstart", "--output_dir", tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = done.stdout[done.stdout.index("step ") :]
    assert "54 answers stand at their offset" in table
    assert re.search(r"checks passed, largest difference \d\.\de-0[5-9]", table)
    seconds, memory = re.findall(r"^all\s+(\d+)\s+([\d,]+)$", table, flags=re.MULTILINE)[0]
    assert int(memory.replace(",", "")) < 6_000
    # A quiet machine takes the README's minutes. One that runs tests may be busy, so it gets many times as long.
    assert int(seconds) < 720
    steps = re.findall(r"^(convert|build|fine-tune|score|ask) ", table, flags=re.MULTILINE)
    assert steps == ["convert", "build", "fine-tune", "score", "score", "ask"]


@pytest.mark.slow
def test_make_demo_serves_the_page(tmp_path):
    server = subprocess.Popen(
        [sys.executable, "-m", "space.app", "--port", "7917"],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(240):
            assert server.poll() is None, "the page ended before it answered"
            try:
                with urllib.request.urlopen("http://127.0.0.1:7917", timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                time.sleep(0.5)
        pytest.fail("the page did not answer within two minutes")
    finally:
        server.terminate()
        server.wait(20)
