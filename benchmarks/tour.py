"""Does the tour run? Executes docs/tour.ipynb in a kernel of this Python, and writes it with what it printed.

    python -m benchmarks.tour --output docs/tour.ipynb      # or `make tour`

Progress, warnings and the kernel's version are left out, so that the same code and weights give the same file.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.cli import command_parser, run
from foundation.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "tour.ipynb"


def executed(folder: Path, environment: Mapping[str, str]) -> Any:
    """The notebook with the outputs of a run in `folder`, which looks like the root of a checkout.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message holds the cell and what it printed.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # The cells that are shell commands find the same Python as the kernel.
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", record_timing=False, coalesce_streams=True)
    client.execute(cwd=str(folder), env={**environment, "PATH": path})
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    return notebook


def main() -> None:
    import nbformat

    parser = command_parser(
        description="Execute the tour and keep what it printed.",
        example="python -m benchmarks.tour --output docs/tour.ipynb",
    )
    parser.add_argument("--output", default="runs/tour.ipynb", help="the executed notebook")
    output = Path(parser.parse_args().output)
    write_atomically(output, nbformat.writes(executed(ROOT, os.environ)) + "\n")
    print(output)


if __name__ == "__main__":
    run(main)
