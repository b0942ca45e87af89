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

from tests import house

ROOT = Path(__file__).resolve().parents[1]
ROOMS = house.ROOMS
MODULES = sorted(house.modules(ROOT).values())
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
    graph = house.import_graph(ROOT)
    assert not house.circles(graph)
    assert not house.back_arrows(graph, ROOMS)
    assert not house.back_arrows(graph, house.TRAINING, "training")
    used = {(name.split(".")[0], target.split(".")[0]) for name, targets in graph.items() for target in targets}
    assert {
        ("hub_datasets", "foundation"),
        ("conversion", "foundation"),
        ("training", "conversion"),
        ("space", "training"),
    } <= used


def test_conversion_and_hub_datasets_stand_side_by_side():
    graph = house.import_graph(ROOT)
    for one, other in (("conversion", "hub_datasets"), ("hub_datasets", "conversion")):
        assert not [
            f"{name} imports {target}"
            for name, targets in graph.items()
            for target in targets
            if name.startswith(one) and target.startswith(other)
        ]


def test_the_top_of_training_is_commands_that_nothing_imports():
    assert not house.imported_commands(house.import_graph(ROOT))
    tops = {path for path in (ROOT / "training").glob("*.py") if path.name != "__init__.py"}
    assert tops and tops <= set(COMMANDS)
    rooms = {path.parent.name for path in (ROOT / "training").glob("*/__init__.py")}
    assert rooms == set(house.TRAINING)


def _tree(root, **files):
    """A house of made-up files: `a__b="import x"` is a/b.py."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return root


def test_planted_faults_are_found(tmp_path):
    sound = _tree(
        tmp_path / "sound",
        foundation__cli="",
        training__runs__arguments="from foundation import cli",
        training__qa__model="from training.runs.arguments import x",
        training__finetune="from training.qa import model\nfrom training.runs.arguments import x",
        space__app="def f():\n    from training.qa.model import load",
    )
    graph = house.import_graph(sound)
    assert graph["space.app"] == {"training.qa.model"} and graph["training.qa.model"] == {"training.runs.arguments"}
    assert not house.circles(graph) and not house.imported_commands(graph)
    assert not house.back_arrows(graph, ROOMS) and not house.back_arrows(graph, house.TRAINING, "training")

    circle = house.import_graph(
        _tree(
            tmp_path / "circle",
            conversion__a="from . import b",
            conversion__b="from .c import x",
            conversion__c="def lazy():\n    from conversion.a import y",
        )
    )
    assert house.circles(circle) == [["conversion.a", "conversion.b", "conversion.c"]]

    back = house.import_graph(_tree(tmp_path / "back", foundation__cli="import space.app", space__app=""))
    assert house.back_arrows(back, ROOMS) == ["foundation.cli imports space.app"]

    up = house.import_graph(
        _tree(tmp_path / "up", training__runs__arguments="from training.grids import plan", training__grids__plan="")
    )
    assert house.back_arrows(up, house.TRAINING, "training") == ["training.runs.arguments imports training.grids.plan"]

    command = house.import_graph(
        _tree(tmp_path / "command", training__qa__model="from ..finetune import main", training__finetune="")
    )
    assert house.imported_commands(command) == ["training.qa.model imports training.finetune"]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name == "__init__.py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_room_says_what_is_in_it(path):
    """A few lines: what the room is for, and the order in which to read its files."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    files = {other.stem for other in path.parent.glob("*.py")} - {"__init__"}
    folders = {other.parent.name for other in path.parent.glob("*/__init__.py")}
    missing = {name for name in files | folders if not re.search(rf"\b{name}\b", text)}
    assert not missing, f"{path.relative_to(ROOT)} does not name {sorted(missing)}"


def test_the_design_names_files_that_exist():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("docs/design.md", "CONTRIBUTING.md"))
    named = set(re.findall(rf"`((?:{'|'.join(ROOMS)}|tests|benchmarks)/[\w/.]+)`", text))
    assert len(named) >= 15
    assert not {name for name in named if not (ROOT / name).exists()}
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert not [room for room in (*ROOMS, *house.TRAINING) if f"\n| `{room}` |" not in design]


def test_no_file_hides_a_library():
    """`accelerate launch training/finetune.py` puts training/ first on sys.path: its names win over any library's."""
    libraries = (set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())) - set(ROOMS)
    assert {"evaluate_me_not", "statistics", "datasets", "torch"} & libraries == {"statistics", "datasets", "torch"}
    hiding = {
        str(path.relative_to(ROOT))
        for room in ("training", "space")
        for path in (ROOT / room).iterdir()
        if path.suffix in ("", ".py") and path.stem in libraries - {"__init__"}
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
def test_every_command_has_the_habits_of_all(path, helps):
    """Its example is its call and can be copied; `--output_dir` is a folder, and `--output` a file."""
    text = helps[path].stdout
    example = text.partition("example:\n")[2].rstrip().splitlines()
    assert example and all(line.endswith("\\") for line in example[:-1]), "the example is broken into lines"
    script, module = str(path.relative_to(ROOT)), ".".join(path.relative_to(ROOT).with_suffix("").parts)
    called = re.match(rf"usage: (python -m {re.escape(module)}|(?:python|accelerate launch) {script})\s", text)
    assert called and called[1] in " ".join(text.partition("example")[2].split())
    for option in re.split(r"\n(?=  --)", text)[1:]:
        name, described = option.split()[0], " ".join(option.split())
        if name.startswith("--out"):
            assert name in ("--output", "--output_dir")
            assert bool(re.search("(?i)folder|directory", described)) == (name == "--output_dir"), described


def test_a_benchmark_is_run_as_a_module_and_has_an_example():
    """Read off the source: asking each for its help would take a minute."""
    called = {}
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if '\nif __name__ == "__main__":\n    run(main)' not in text:
            assert "__main__" not in text and "command_parser(" not in text, path.name
            continue
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        (parser,) = [node for node in calls if getattr(node.func, "id", "") == "command_parser"]
        called[path.stem] = next(ast.literal_eval(word.value) for word in parser.keywords if word.arg == "example")
        flags = [node for node in calls if getattr(node.func, "attr", "") == "add_argument"]
        written = {node.args[0].value: ast.unparse(node) for node in flags if node.args[0].value.startswith("--out")}
        assert written.keys() <= {"--output", "--output_dir"}, path.name
        assert not any("docs" in words for words in written.values()), (
            f"{path.name}: who tries it would lose our figures"
        )
    assert len(called) > 10
    for name, example in called.items():
        assert example.startswith(f"python -m benchmarks.{name} "), example


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_stands_in_the_documentation(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    text = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert name in text or str(path.relative_to(ROOT)) in text, f"{name} is described nowhere"


# In docker's place: it runs the command of `compose exec repl` here, as the container would in its own folder.
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


@pytest.mark.parametrize("target", ["build", "up", "repl", "logs", "down"])
def test_a_docker_without_compose_ends_in_one_sentence(target, tmp_path):
    (tmp_path / "docker").write_text('#!/bin/bash\necho "unknown flag: --$2" >&2; exit 125\n')
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "--no-print-directory", "--file", ROOT / "Makefile", target]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown flag" not in done.stderr
    assert done.stdout == "error: docker compose does not run here: install Docker and its compose plugin\n"
    assert [each.name for each in tmp_path.iterdir()] == ["docker"], "no folder was made"


def test_the_container_takes_its_settings_from_the_template():
    import yaml

    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["repl"]
    template = (ROOT / ".env.template").read_text(encoding="utf-8")
    offered = set(re.findall(r"^(\w+)=", template, flags=re.MULTILINE))
    assert offered == set(re.findall(r"\$\{(\w+):-", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(service["build"]["args"]) <= arguments


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_container_builds_and_runs():
    done = subprocess.run([ROOT / "tests" / "test_docker.sh"], capture_output=True, text=True)
    if done.returncode == 2 and "error: " in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "passed" in done.stdout.splitlines()[-1]
