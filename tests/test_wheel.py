"""What `pip install` of the wheel gives somebody who never sees this repository."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("foundation", "hub_datasets", "conversion", "training", "space")
LOAD = """
import hub_datasets, json
from pathlib import Path
sample = Path(hub_datasets.__file__).parent / "sample"
rows = hub_datasets.load_dataset("squad_long", split="train", nr_concats=3, data_files=str(sample / "sample.sv.json"))
print(json.dumps([len(rows), sorted(rows.column_names)]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the files that git knows, so that nothing left over from earlier work gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source, cwd=out)
    return next(out.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_wheel_carries_what_the_rooms_read(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    expected = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected and not expected - names
    assert {name.split("/")[0] for name in names} - {*ROOMS} == {f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_wheel_works_in_a_fresh_environment(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "--max_pos" in run(python, "-m", "conversion.convert", "--help", cwd=empty)
    assert json.loads(run(python, "-c", LOAD, cwd=empty).splitlines()[-1]) == [
        18,
        ["answers", "context", "id", "question", "title"],
    ]
    assert "squad" in run(python, "-m", "training.metrics", "--help", cwd=empty)
    run(python, "-m", "pip", "check", cwd=empty)
