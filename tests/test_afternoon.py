"""A newcomer's afternoon, by the commands of the README and the docs alone, in a fresh clone.

A RoBERTa of their own is converted, proven and pushed to a Hub; a colleague loads it in an environment without this
project's packages, fine-tunes it on a SQuAD-format file of their own made long, scores it, and opens the page on it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.conversion.checkpoints import make_checkpoint

PORT = 7918
LAUNCH = "accelerate launch --config_file training/configs/cpu.yaml"
BLOCKED = "import sys\nfor name in ('hub_datasets', 'conversion', 'training', 'space'): sys.modules[name] = None\n"


def own_file(path: Path, articles: int) -> Path:
    """A SQuAD-format file as somebody would have one, with ids of their own."""
    corpus = json.loads((ROOT / "hub_datasets/sample/sample.sv.json").read_text(encoding="utf-8"))
    corpus["data"] = corpus["data"][:articles]
    for article in corpus["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                question["id"] = f"mine-{question['id']}"
    path.write_text(json.dumps(corpus), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_afternoon(tmp_path, loopback_hub):
    clone, mine = tmp_path / "clone", tmp_path / "mine"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    mine.mkdir()
    roberta = make_checkpoint(mine / "roberta", "roberta")
    train, dev = own_file(mine / "train.json", 3), own_file(mine / "dev.json", 1)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **loopback_hub.env(tmp_path / "home"), "PATH": path, "PYTHONPATH": str(clone)}

    def type_(line: str) -> str:
        done = subprocess.run(line, shell=True, cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"$ {line}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    type_(f"python -m conversion.convert --model_name_or_path {roberta} --output_dir {mine}/long")
    assert "hidden states            ok" in type_(f"python -m conversion.verify {roberta} {mine}/long")
    type_(f"python -m conversion.publish {mine}/long --hub_model_id org/my-long-4096 --private")

    load = BLOCKED + (
        "from transformers import AutoModel, AutoTokenizer\n"
        "print(type(AutoModel.from_pretrained('org/my-long-4096')).__name__, "
        "AutoTokenizer.from_pretrained('org/my-long-4096').model_max_length)"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", load], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert elsewhere.stdout == "LongformerModel 4096\n", elsewhere.stderr

    type_(
        f"{LAUNCH} training/finetune.py --model_name_or_path org/my-long-4096 --dataset file --data_files {train} "
        f"--nr_concats 3 --max_length 1024 --do_train --max_steps 2 --per_device_train_batch_size 2 "
        f"--gradient_accumulation_steps 1 --output_dir {mine}/finetuned"
    )
    scored = type_(
        f"{LAUNCH} training/score.py --model_name_or_path {mine}/finetuned --dataset file --data_files {dev} "
        f"--nr_concats 3 --max_length 1024 --output_dir {mine}/scores"
    )
    assert "F1" in scored
    scores = json.loads((mine / "scores" / "scores.json").read_text(encoding="utf-8"))
    assert sum(each["questions"] for each in scores["languages"].values()) == 9

    page = subprocess.Popen(
        [sys.executable, "-m", "space.app", "--port", str(PORT)],
        cwd=clone,
        env={**environment, "SPACE_MODEL": f"{mine}/finetuned"},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(page, f"http://127.0.0.1:{PORT}")
    finally:
        page.terminate()
        page.wait(20)
    left = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert left.stdout == "", "the commands left files in the clone that git would add"
    shutil.rmtree(clone)


def wait_for(page: subprocess.Popen, url: str) -> None:
    for _ in range(300):
        assert page.poll() is None, "the page ended before it answered"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the page did not answer")
