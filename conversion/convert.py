"""Make an encoder long: RoBERTa, XLM-R, CamemBERT, BERT, ELECTRA, DistilBERT in, a native Longformer checkpoint out.

    python -m conversion.convert --model_name_or_path FacebookAI/xlm-roberta-base --output_dir xlm-long-4096 \
        --max_pos 4096 --attention_window 512

Tensors go from file to file, and no model is built. The recipe is that of Beltagy et al., Longformer (2020), section 5:
the learned positions are tiled to the new length, and the global projections start as copies of the local ones. A
Longformer is made longer the same way, and a folder of sentence-transformers keeps its modules. The result is
`model_type: longformer`, which `AutoModel.from_pretrained` loads without remote code.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.cards import CARD
from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, check_apart, check_output_dir
from foundation.model_files import CONVERSION
from foundation.push import check_id, settle

from .card import write_card
from .checkpoint import cast, write_safetensors
from .families import map_names
from .legacy import describe
from .modules import SCORE_SETTINGS, write_modules
from .plan import (
    LONGEST,
    check_max_pos,
    check_shapes,
    check_tile_from,
    check_windows,
    longformer_config,
    plan_tensors,
    position_table,
    source_offset,
)
from .publish import publish
from .source import card_facts, left_out, open_source, public_name
from .tokens import settle_padding
from .verify import verify as prove

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPORT = "conversion_report.json"
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}

# Without global attention a FairytaleQA question found its story half as often (docs/embeddings.md).
ONE_VECTOR = (
    "one vector for a whole text needs global attention on its first token, which AutoModel and sentence-transformers "
    "do not ask for by themselves: without it the vector finds less than the source's does on the first 512 tokens"
)


def convert(
    model_name_or_path: str,
    output_dir: str | Path,
    *,
    max_pos: int = 4096,
    tile_from: int | None = None,
    attention_window: int | Sequence[int] | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    verify: bool = True,
    hub_model_id: str | None = None,
) -> Path:
    """Write the long form of an encoder checkpoint to `output_dir`, whole or not at all.

    Args:
        model_name_or_path: a local folder, a Hub id, or "embedded".
        max_pos: tokens that the result reads; a multiple of the (largest) window, at least the source's own length.
        tile_from: beyond the source's length its position rows come again, from this token's on. 0 is the thesis's way;
            64 keeps the rows of a question for the question, which reads long documents better. By default 0, or what a
            long source says of itself.
        attention_window: tokens that each token sees, half of them to either side; one number, or one a layer.
            By default 512, or what an old long checkpoint says of itself.
        revision: branch, tag or commit of a Hub id.
        dtype: "float32", "float16" or "bfloat16"; by default the source's.
        verify: prove the result against its source (conversion/verify.py) before it appears.
        hub_model_id: the name that the model card gives (the folder's, by default); conversion.publish pushes.

    Returns:
        `output_dir` as a path.

    Raises:
        UserError: an argument or the source is not fit for conversion; nothing has been written.
    """
    check_apart(output_dir, model_name_or_path)
    target = check_output_dir(output_dir, CONVERSION if overwrite else None, mark=REPORT)
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"--dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    source = open_source(model_name_or_path, revision)
    check_apart(target, source.folder)
    windows = check_windows(attention_window, source.config)
    tensors = source.tensors()
    mapping = map_names(tensors, source.config)
    tokenizer = source.tokenizer()
    pad_token_id, padding = settle_padding(tokenizer, source.config, source.name)
    first = source_offset(source.config)
    source_length = tensors[mapping.names[position_table(mapping)]].shape[0] - first
    if source.config.max_position_embeddings != source_length + first:
        raise UserError(
            f"config.json of {source.name!r} says {source.config.max_position_embeddings} positions, its weights have "
            f"{source_length + first}: mend max_position_embeddings"
        )
    if tile_from is None:
        tile_from = getattr(source.config, "tile_from", 0)
    check_max_pos(max_pos, windows, source_length)
    if source.config.model_type == "longformer" and max_pos == source_length:
        raise UserError(
            f"--model_name_or_path {source.name!r} is a Longformer that reads {source_length} tokens already: use it"
            " as it is, or give more --max_pos"
        )
    check_tile_from(tile_from, source_length)

    outputs = plan_tensors(tensors, mapping, source.config, pad_token_id, max_pos, tile_from)
    config = longformer_config(source.config, tokenizer, mapping, outputs, windows, max_pos, pad_token_id, dtype)
    if tile_from:
        config.tile_from = tile_from
    check_shapes(config, mapping.architecture, outputs)
    if dtype:
        outputs = {name: cast(output, DTYPES[dtype]) for name, output in outputs.items()}
    for name in SCORE_SETTINGS:
        if hasattr(source.config, name):
            setattr(config, name, getattr(source.config, name))
    old_long = mapping.has_global and source.config.model_type != "longformer"
    notes = mapping.notes + (describe(tensors, first) if old_long else [])
    notes += [padding] * bool(padding) + left_out(source)
    if mapping.architecture == "LongformerModel" and not source.modules:
        notes.append(ONE_VECTOR)

    with atomic_folder(target, CONVERSION if overwrite else None, mark=REPORT) as folder:
        write_safetensors(folder / "model.safetensors", outputs)
        config.save_pretrained(folder)
        save_tokenizer(tokenizer, folder, max_pos)
        if source.modules:
            # A source that is long already keeps its own global attention.
            write_modules(source.modules, folder, max_pos, first_token_global=not mapping.has_global)
        proof = prove(source, folder, name=public_name(source)) if verify else None
        record = {
            "source": public_name(source),
            "revision": source.revision,
            "source_model_type": source.config.model_type,
            "architecture": mapping.architecture,
            "max_pos": max_pos,
            "tile_from": tile_from,
            "attention_window": windows,
            "dtype": config.to_dict()["dtype"],
            "cast": dtype is not None,
            "source_length": source_length,
            "old_long": mapping.has_global,
            "tensors": len(outputs),
            "notes": notes,
            "proof": proof and proof.to_dict(),
        }
        (folder / REPORT).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        name = hub_model_id or target.resolve().name
        write_card(folder, name, record, proof, card_facts(source), before=target / CARD)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if proof:
        print(proof.table(), file=sys.stderr)
    return target


def save_tokenizer(tokenizer: "PreTrainedTokenizerBase", folder: Path, max_pos: int) -> None:
    """Save the source's tokenizer for the new length; its class is written down, so that AutoTokenizer finds it."""
    tokenizer.model_max_length = max_pos
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # tokenizer.json may store the old length, and would go on cutting at 512
        backend.no_truncation()
        backend.no_padding()
    tokenizer.save_pretrained(folder)


def command_line() -> argparse.ArgumentParser:
    parser = command_parser(
        description="Make an encoder (RoBERTa, XLM-R, BERT and their kin) long, as a native Longformer checkpoint.",
        example="python -m conversion.convert --model_name_or_path embedded --output_dir long-4096",
    )
    parser.add_argument("--model_name_or_path", required=True, help='local folder, Hub id, or "embedded"')
    parser.add_argument("--output_dir", required=True, help="folder of the result, new or empty")
    parser.add_argument("--max_pos", type=int, default=4096, help=f"tokens to read, at most {LONGEST}")
    parser.add_argument(
        "--tile_from",
        type=int,
        help="token whose position comes after the source's last (default: 0 as in the thesis, or a long source's own);"
        " 64: better for question answering, with --attention_window 256",
    )
    parser.add_argument(
        "--attention_window",
        type=int,
        nargs="+",
        help="tokens that each token sees, half to either side; one number or one a layer"
        " (default: 512, or an old long checkpoint's own)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--dtype", choices=tuple(DTYPES), help="type of the written weights (default: the source's)")
    parser.add_argument(
        "--overwrite_output_dir", action="store_true", help="replace what an earlier conversion wrote there"
    )
    parser.add_argument("--no_verify", action="store_true", help="skip the proof that the result equals its source")
    parser.add_argument("--push_to_hub", action="store_true", help="push the folder in one commit when it is done")
    parser.add_argument("--hub_model_id", help="org/name, for --push_to_hub and the model card")
    parser.add_argument("--private", action="store_true", help="of a repository that the push creates")
    return parser


def main() -> None:
    arguments = command_line().parse_args()
    if arguments.push_to_hub and not arguments.hub_model_id:
        raise UserError("--push_to_hub needs --hub_model_id: give org/name")
    if arguments.private and not arguments.push_to_hub:
        raise UserError("--private is of a repository that is pushed to: give --push_to_hub too, or leave it out")
    if arguments.push_to_hub:
        arguments.hub_model_id = settle(arguments.hub_model_id, "model", private=arguments.private)
    elif arguments.hub_model_id:
        check_id(arguments.hub_model_id, "--hub_model_id")
    folder = convert(
        arguments.model_name_or_path,
        arguments.output_dir,
        max_pos=arguments.max_pos,
        tile_from=arguments.tile_from,
        attention_window=arguments.attention_window,
        revision=arguments.revision,
        dtype=arguments.dtype,
        overwrite=arguments.overwrite_output_dir,
        verify=not arguments.no_verify,
        hub_model_id=arguments.hub_model_id,
    )
    print(folder)
    if arguments.push_to_hub:
        url = publish(folder, arguments.hub_model_id, private=arguments.private)
        print(url or f"{arguments.hub_model_id} holds these files already")


if __name__ == "__main__":
    run(main)
