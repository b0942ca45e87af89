"""The import graph of the house, read off the source: what imports what, wherever in a file it says so."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOMS = ("foundation", "hub_datasets", "conversion", "training", "space")
TRAINING = ("runs", "corpora", "qa", "scoring", "finetuning", "pretraining", "embedding", "grids")

Graph = Mapping[str, set[str]]


def modules(root: Path, rooms: Iterable[str] = ROOMS) -> dict[str, Path]:
    """Dotted name -> file of every module; a package goes by its own name."""
    files = [path for room in rooms for path in sorted((root / room).rglob("*.py")) if "__pycache__" not in path.parts]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def import_graph(root: Path, rooms: Iterable[str] = ROOMS) -> dict[str, set[str]]:
    """Module -> modules of the house that it imports; lazy imports inside functions count."""
    found = modules(root, rooms)
    return {name: _imports(name, path, found) - {name} for name, path in found.items()}


def _imports(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                imported.add(inner if inner in known else base)
    return imported & known.keys()


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other in a loop (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in number:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], number[target])
        if lowest[name] == number[name]:
            at = stack.index(name)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in number:
            visit(name)
    return found


def back_arrows(graph: Graph, order: Sequence[str], inside: str = "") -> list[str]:
    """Imports that run against `order`, the rooms of `inside` (a package, or the house itself) from the ground up."""

    def room(name: str) -> str | None:
        rest = name.removeprefix(f"{inside}.") if inside else name
        first = rest.split(".")[0]
        return first if first in order and (not inside or name.startswith(f"{inside}.")) else None

    return [
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in sorted(targets)
        if (a := room(name)) and (b := room(target)) and order.index(b) > order.index(a)
    ]


def imported_commands(graph: Graph, package: str = "training") -> list[str]:
    """Imports of a file at the top of `package`, where commands stand and nothing else."""
    top = {
        name for name in graph if name.startswith(f"{package}.") and name.count(".") == 1 and not _is_room(name, graph)
    }
    return [f"{name} imports {target}" for name, targets in graph.items() for target in sorted(targets & top)]


def _is_room(name: str, graph: Graph) -> bool:
    return any(other.startswith(f"{name}.") for other in graph)
