"""Speed of the exported ONNX graph beside PyTorch, native and fast, on the embedded model made long.

    python -m benchmarks.onnx_speed --output docs/onnx.json

One run on one machine, the same number of threads for all, medians. Not named onnx.py: a script's folder comes first
on sys.path, where that file would hide the library.
"""

import json
import sys
import tempfile
from pathlib import Path

from foundation.cli import command_parser, run
from foundation.files import write_atomically


def main() -> None:
    parser = command_parser(
        description="Speed of the exported ONNX graph beside PyTorch.",
        example="python -m benchmarks.onnx_speed --repeats 3",
    )
    parser.add_argument("--model", default="embedded-long", help="a Longformer: folder or Hub id")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 4096], help="token counts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--output", default="runs/onnx.json", help="where the figures go")
    arguments = parser.parse_args()

    import torch

    from conversion.export_onnx import export_onnx, table

    print(f"{torch.get_num_threads()} threads", file=sys.stderr)
    with tempfile.TemporaryDirectory() as work:
        rows = export_onnx(arguments.model, Path(work) / "onnx", lengths=arguments.lengths, repeats=arguments.repeats)
    report = {"model": arguments.model, "threads": torch.get_num_threads(), "repeats": arguments.repeats, "rows": rows}
    write_atomically(arguments.output, json.dumps(report, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    run(main)
