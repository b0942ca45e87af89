"""What holds the house together: imports run one way, no file hides a library, every command can be asked for help."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("hub_datasets", "conversion", "training", "space")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)
COMMANDS = [path for path in MODULES if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")]


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports absolutely, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_imports_run_one_way():
    backward = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imported(path)
        if name in ROOMS and ROOMS.index(name) > ROOMS.index(path.relative_to(ROOT).parts[0])
    }
    assert not backward
    used = {(path.relative_to(ROOT).parts[0], name) for path in MODULES for name in imported(path) if name in ROOMS}
    assert {("conversion", "hub_datasets"), ("training", "conversion"), ("space", "training")} <= used


def test_no_file_hides_a_library():
    """`accelerate launch training/finetune.py` puts training/ first on sys.path: its names win over any library's."""
    libraries = (set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())) - set(ROOMS)
    assert {"evaluate_me_not", "statistics", "datasets", "torch"} & libraries == {"statistics", "datasets", "torch"}
    hiding = {
        str(path.relative_to(ROOT))
        for room in ("training", "space")
        for path in (ROOT / room).iterdir()
        if path.suffix in ("", ".py") and path.stem in libraries
    }
    assert not hiding


def test_every_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in _requirements(project)}
    distributions = importlib.metadata.packages_distributions()
    missing = {}
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        for name in imported(path) - set(sys.stdlib_module_names) - set(ROOMS) - {"tests", "benchmarks"}:
            owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [name])}
            if not owners & declared:
                missing[str(path.relative_to(ROOT))] = name
    assert not missing


def _requirements(project: dict) -> list[str]:
    return [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]


def test_every_direct_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {
        line.split("==")[0].lower().replace("_", "-"): line.split("==")[1].strip()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in _requirements(project)}
    assert names - {project["name"]} <= set(pins)
    assert "+" not in pins["torch"], "a local part fits one build of torch only"
    assert pins["datasets"] == "3.6.0", "the last release that runs loading scripts"


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def helps() -> dict[Path, subprocess.CompletedProcess[str]]:
    """What each command prints when asked for help, two at a time: importing transformers takes seconds."""

    def ask(path: Path) -> subprocess.CompletedProcess[str]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        return subprocess.run(
            [sys.executable, "-m", module, "--help"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(COMMANDS, pool.map(ask, COMMANDS), strict=True))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_has_help_with_an_example(path, helps):
    done = helps[path]
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
    assert "example" in done.stdout.lower()
    options = re.findall(r"^  (?:-\w, )?--\w+", done.stdout, flags=re.MULTILINE)
    if [option for option in options if "--help" not in option]:
        assert "(default" in done.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_stands_in_the_documentation(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    text = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert name in text or str(path.relative_to(ROOT)) in text, f"{name} is described nowhere"


# Stands in for docker: runs what `compose exec repl` is given in the working folder, as the container would in its own.
DOCKER = """#!/bin/bash
[ "$1 $2" = "compose exec" ] || { echo "docker $*"; exit 0; }
shift 2
[ "$1" = --env ] && { export "$2"; shift 2; }
[ "$1" = repl ] && shift
exec "$@"
"""


@pytest.mark.parametrize(
    ("run", "printed", "status"),
    [("echo 'two  words' | tr o 0", "tw0  w0rds\n", 0), ('echo "$HOME" | grep -c "^/"', "1\n", 0), ("exit 3", "", 3)],
)
def test_make_repl_keeps_quotes_status_and_log(run, printed, status, tmp_path):
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "logs").mkdir()
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--file",
            ROOT / "Makefile",
            "repl",
            "LAUNCH=",
            f"run={run.replace('$', '$$')}",
        ],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == printed
    assert (done.returncode == 0) == (status == 0), done.stderr
    assert (tmp_path / "logs" / "repl.log").read_text() == printed


@pytest.mark.parametrize(
    ("settings", "folders"),
    [(None, ["data", "logs", "models"]), ("LOG_DIR=./elsewhere/logs\n", ["data", "elsewhere", "models"])],
)
def test_make_up_makes_the_folders_that_the_container_writes_to(settings, folders, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    if settings:
        (here / ".env").write_text(settings)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "--no-print-directory", "--file", ROOT / "Makefile", "up"]
    done = subprocess.run(command, cwd=here, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in here.iterdir() if each.is_dir()) == folders


def test_the_container_takes_its_settings_from_the_template():
    import yaml

    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["repl"]
    template = (ROOT / ".env.template").read_text(encoding="utf-8")
    offered = set(re.findall(r"^(\w+)=", template, flags=re.MULTILINE))
    assert offered == set(re.findall(r"\$\{(\w+):-", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(service["build"]["args"]) <= arguments


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_container_builds_and_runs():
    done = subprocess.run([ROOT / "tests" / "test_docker.sh"], capture_output=True, text=True)
    if done.returncode == 2 and "error: " in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "passed" in done.stdout.splitlines()[-1]
