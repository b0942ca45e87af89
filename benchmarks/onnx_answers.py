"""What a smaller ONNX graph changes in answers: the shipped reader in float32, float16 and int8, beside PyTorch.

    python -m benchmarks.onnx_answers --data_dir data/xquad --language en,de,ru,zh --max_eval_samples 30

The adapter is merged into its base and exported in each precision; every graph then answers the same XQ3 questions,
through the reading code of training/score.py. Counted are F1, exact match, the answers that differ from PyTorch's, and
megabytes.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.machine import machine
from foundation.cli import command_parser, run
from foundation.files import write_atomically

PRECISIONS = ("float32", "float16", "int8")
COLUMNS = ("graph", "MB", "F1", "exact match", "answers that differ, %")


class Session:
    """An ONNX graph under the name and in the manner of a model in PyTorch."""

    def __init__(self, path: Path, config: Any, threads: int):
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.config, self.device = config, torch.device("cpu")
        self.wanted = [node.name for node in self.session.get_inputs()]

    def eval(self) -> "Session":
        return self

    def __call__(self, **batch: Any) -> SimpleNamespace:
        import torch

        none = torch.zeros_like(batch["input_ids"])  # the graph wants token types even if the batch has none
        found = self.session.run(None, {name: batch.get(name, none).numpy() for name in self.wanted})
        return SimpleNamespace(start_logits=torch.from_numpy(found[0]), end_logits=torch.from_numpy(found[1]))


def main() -> None:
    parser = command_parser(
        description="What float16 and int8 change in the shipped reader's answers.",
        example="python -m benchmarks.onnx_answers --data_dir data/xquad --language en,de --max_eval_samples 30",
    )
    parser.add_argument("--model", default="space/adapter", help="a QA model or adapter: folder or Hub id")
    parser.add_argument("--data_dir", required=True, help="folder of XQuAD's official files")
    parser.add_argument("--language", default="en,de,ru,zh", help="languages, with commas")
    parser.add_argument("--nr_concats", type=int, default=6, help="paragraphs a document")
    parser.add_argument("--max_eval_samples", type=int, default=30, help="questions a language, evenly spread")
    parser.add_argument("--output", default="runs/onnx_answers.json", help="where the figures go")
    arguments = parser.parse_args()

    import torch
    from transformers.utils import logging

    from conversion.export_onnx import export_onnx
    from hub_datasets.concat import ConcatOptions
    from training.corpora.load import evenly, load_qa
    from training.qa.model import check_max_length, load_qa_model
    from training.qa.predict import predict
    from training.qa.windows import Windower
    from training.scoring.metrics import score

    logging.set_verbosity_error()
    options = ConcatOptions(nr_concats=arguments.nr_concats)
    examples: list[dict[str, Any]] = []
    for language in arguments.language.split(","):
        rows = load_qa("xq3", "validation", data_dir=arguments.data_dir, language=language, options=options)
        rows = evenly(rows, arguments.max_eval_samples)
        examples += [{**row, "id": f"{language}-{row['id']}"} for row in rows]
    model, tokenizer = load_qa_model(arguments.model, second_look=0)  # as the graph reads
    windower = Windower(tokenizer, check_max_length(model, None))

    def answer(reader: Any) -> dict[str, str]:
        answers = predict(reader, windower, examples, batch_size=1)
        return {identity: found.text() for identity, found in answers.items()}

    figures, expected = [], answer(model)
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(Path(work) / "model")
        tokenizer.save_pretrained(Path(work) / "model")
        size = sum(parameter.nbytes for parameter in model.parameters())
        found = {"PyTorch": (size, expected)}
        for precision in PRECISIONS:
            print(f"{precision} …", file=sys.stderr)
            folder = Path(work) / precision
            export_onnx(str(Path(work) / "model"), folder, lengths=[512], precision=precision)
            session = Session(folder / "model.onnx", model.config, torch.get_num_threads())
            size = sum(path.stat().st_size for path in folder.glob("model.onnx*"))
            found[precision] = size, answer(session)
    for graph, (size, answers) in found.items():
        scores = score("squad", examples, answers)
        differ = 100 * sum(answers[i] != expected[i] for i in expected) / len(expected)
        values = (graph, round(size / 1e6), *(round(scores[m], 2) for m in ("f1", "exact_match")), round(differ, 1))
        figures.append(dict(zip(COLUMNS, values, strict=True)))
    setting = {name: getattr(arguments, name) for name in ("model", "language", "nr_concats", "max_eval_samples")}
    report = {"setting": setting | {"questions": len(examples)}, "machine": machine(), "figures": figures}
    write_atomically(arguments.output, json.dumps(report, indent=2) + "\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for row in figures:
        print(f"| {' | '.join(str(value) for value in row.values())} |")


if __name__ == "__main__":
    run(main)
