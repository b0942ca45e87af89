"""Prove that a converted model computes what its source computes.

    python -m conversion.verify FacebookAI/xlm-roberta-base xlm-long-4096

The source runs its own full attention. The converted model runs transformers' native Longformer, in which a token sees
`attention_window / 2` tokens to either side: on inputs that fit one side the two must agree as they stand, with and
without global tokens; on longer ones they must agree once the window is widened to cover the input. The inputs are
random ids, and texts of all scripts as each model's own tokenizer gives them. Beyond the length that the source reads,
its positions are given by hand, wrapped round as the conversion tiles them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from foundation.cli import UserError, command_parser, run
from foundation.files import read_json

from .checkpoint import read_checkpoint
from .checks import check_globals, check_positions, check_tokenizer, check_words
from .comparison import compare_outputs, source_length
from .embeddings import check_embeddings
from .families import AUTO_CLASSES
from .legacy import is_old_long
from .report import Report, VerificationError
from .source import Source, download, open_source

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def verify(
    source: str | Path | Source, converted: str | Path, *, revision: str | None = None, name: str | None = None
) -> Report:
    """Compare a converted checkpoint with its source.

    Args:
        source: what was converted: folder, Hub id or "embedded".
        converted: the result, a folder or a Hub id.
        name: how the report calls the source (by default as it was given).

    Raises:
        VerificationError: on any difference; it has the report.
        UserError: one of the two cannot be read, or is not what it should be.
    """
    from transformers import AutoTokenizer

    source = source if isinstance(source, Source) else open_source(str(source), revision)
    converted = _local(str(converted))
    config = _longformer_config(converted)
    architecture = (config.architectures or ["LongformerModel"])[0]
    if architecture not in AUTO_CLASSES:
        raise UserError(f"CONVERTED {str(converted)!r} is a {architecture}: one of {', '.join(AUTO_CLASSES)} is meant")
    report = Report(name or source.name, architecture)
    tensors = {"source": source.tensors(), "converted": read_checkpoint(converted)}
    old_long = is_old_long(tensors["source"])

    report.checks.append(check_words(tensors))
    report.checks.append(check_positions(tensors, source, config))
    report.checks.append(check_globals(tensors["converted"], config, trained=old_long))
    tokenizers = source.tokenizer(), AutoTokenizer.from_pretrained(converted, trust_remote_code=False)
    report.checks.append(check_tokenizer(*tokenizers, source.config, config))
    compare_outputs(
        report,
        source,
        converted,
        tokenizers if report.checks[-1].passed else None,
        tensors["source"] if old_long else None,
    )
    if source.modules:
        longest = min(min(config.attention_window) // 2, source_length(source))
        report.checks.append(check_embeddings(source.root, converted, longest))
    if not report.passed:
        raise VerificationError(report)
    return report


def _local(converted: str) -> Path:
    folder = Path(converted).expanduser()
    if folder.exists() or converted.startswith(("/", ".", "~")) or converted.count("/") > 1:
        return folder
    return download(converted)


def _longformer_config(folder: Path) -> "PreTrainedConfig":
    from transformers import LongformerConfig

    if not (folder / "config.json").is_file():
        raise UserError(
            f"CONVERTED {str(folder)!r} holds no config.json: give the folder that conversion.convert wrote"
        )
    model_type = read_json(folder / "config.json", "CONVERTED", dict).get("model_type")
    if model_type != "longformer":
        raise UserError(f"CONVERTED {str(folder)!r} has the model type {model_type!r}, not 'longformer': convert it")
    return LongformerConfig.from_pretrained(folder)


def main() -> None:

    parser = command_parser(
        description="Prove that a converted model computes what its source computes.",
        example="python -m conversion.verify embedded long-4096 --output proof.json",
    )
    parser.add_argument("source", metavar="SOURCE", help='what was converted: folder, Hub id, or "embedded"')
    parser.add_argument("converted", metavar="CONVERTED", help="what became of it: folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of SOURCE on the Hub")
    parser.add_argument("--output", "--json", help="also write the report to this file, as JSON")
    arguments = parser.parse_args()
    try:
        report = verify(arguments.source, arguments.converted, revision=arguments.revision)
    except VerificationError as error:
        _tell(error.report, arguments.output)
        raise
    _tell(report, arguments.output)


def _tell(report: Report, path: str | None) -> None:
    """Print the table; write the report to `path`, if one was given."""
    import json

    from foundation.files import write_atomically

    print(report.table())
    if path:
        write_atomically(path, json.dumps(report.to_dict(), indent=2) + "\n")


if __name__ == "__main__":
    run(main)
