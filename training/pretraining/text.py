"""The training and evaluation text of pretrain.py, from files or from the Hub, packed or streamed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.cli import UserError, one_line

from .arguments import PretrainArguments
from .packing import PackedText, Packing, StreamedText, pack
from .source import TextRows, TextSource, TextTable, open_files

if TYPE_CHECKING:
    from transformers import TrainingArguments


def open_text(
    arguments: PretrainArguments, training_args: "TrainingArguments"
) -> tuple[TextSource | None, TextSource | None]:
    """(text to train on, text to score), None where a part is not asked for or, to score, not given.

    Raises UserError for a text that is missing, empty or binary, before anything is loaded.
    """
    scored = _validation_source(arguments) if training_args.do_eval else None
    return (_train_source(arguments) if training_args.do_train else None), scored


def pack_text(
    arguments: PretrainArguments,
    training_args: "TrainingArguments",
    tokenizer: Any,
    train: TextSource | None,
    scored: TextSource | None,
) -> tuple[PackedText | StreamedText | None, PackedText | None]:
    """Both texts as sequences; the one to score first, for it is short, and its faults show before hours of packing."""
    eval_text = None
    train_text: PackedText | StreamedText | None = None
    documents = Packing(arguments.line_by_line, arguments.document_separator, whole_words=arguments.whole_word_mask)
    if scored is not None:
        folder = _packed_dir(arguments, "validation")
        packing = replace(documents, count_bytes=True)
        eval_text = pack(scored, tokenizer, arguments.max_pos, folder, num_proc=arguments.num_proc, packing=packing)
    if train is not None and arguments.streaming:
        seed = training_args.data_seed if training_args.data_seed is not None else training_args.seed
        train_text = StreamedText(train, tokenizer, arguments.max_pos, seed, documents)
    elif train is not None:
        folder = _packed_dir(arguments, "train")
        train_text = pack(train, tokenizer, arguments.max_pos, folder, num_proc=arguments.num_proc, packing=documents)
    return train_text, eval_text


def _packed_dir(arguments: PretrainArguments, part: str) -> Path | None:
    return Path(arguments.packed_dir).expanduser() / part if arguments.packed_dir else None


def _train_source(arguments: PretrainArguments) -> TextSource:
    if arguments.train_file_path is not None:
        return open_files(arguments.train_file_path, "--train_file_path", arguments.text_column)
    dataset, name = _from_hub(arguments, arguments.train_split, arguments.streaming)
    if arguments.streaming:
        return TextRows(dataset, arguments.text_column, name)
    return TextTable(dataset, arguments.text_column, name)


def _validation_source(arguments: PretrainArguments) -> TextSource | None:
    if arguments.val_file_path is not None:
        return open_files(arguments.val_file_path, "--val_file_path", arguments.text_column)
    if arguments.dataset_name is None:
        return None
    dataset, name = _from_hub(arguments, arguments.validation_split, streaming=False)
    return TextTable(dataset, arguments.text_column, name)


def _from_hub(arguments: PretrainArguments, split: str, streaming: bool) -> tuple[Any, str]:
    import datasets
    from huggingface_hub.errors import HTTPError

    name = f"split {split!r} of --dataset_name {arguments.dataset_name!r}"
    try:
        dataset = datasets.load_dataset(
            str(arguments.dataset_name), arguments.dataset_config, split=split, streaming=streaming
        )
    except (datasets.exceptions.DatasetsError, HTTPError, OSError, ValueError) as error:  # such as an unknown split
        raise UserError(f"{name} cannot be loaded: {one_line(error)}") from error
    return dataset, name
