"""The model and tokenizer that pretrain.py starts from: a Longformer, or any encoder that `conversion` makes one."""

import logging
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, TrainingArguments

from conversion.attention import use_fast_attention
from conversion.named import resolve
from conversion.tokens import check_vocabulary
from foundation.cli import UserError
from training.runs.loading import explain_loading

from .arguments import PretrainArguments
from .loss import LongformerForMaskedLM

logger = logging.getLogger(__name__)


def load_tokenizer(arguments: PretrainArguments) -> PreTrainedTokenizerBase:
    """The source's tokenizer; raises UserError where it, the model and --max_pos do not fit together."""
    source, revision = resolve(arguments.model_name_or_path), arguments.revision or "main"
    with explain_loading(arguments.model_name_or_path):
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    if config.model_type == "longformer":
        positions = config.max_position_embeddings - config.pad_token_id - 1
        if arguments.max_pos > positions:
            raise UserError(
                f"--max_pos {arguments.max_pos} is longer than the {positions} positions of "
                f"{arguments.model_name_or_path!r}: give at most {positions}, or convert the model to more"
            )
    check_vocabulary(tokenizer, config.vocab_size, arguments.model_name_or_path)
    return tokenizer


def load_model(
    arguments: PretrainArguments, training_args: TrainingArguments
) -> tuple[LongformerForMaskedLM, PreTrainedTokenizerBase]:
    """(model in float32, its tokenizer), converted first if it is no Longformer."""
    source, revision = resolve(arguments.model_name_or_path), arguments.revision or "main"
    if AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False).model_type != "longformer":
        source, revision = str(_convert(source, arguments, training_args)), "main"
    with explain_loading(arguments.model_name_or_path):
        model = LongformerForMaskedLM.from_pretrained(source, revision=revision, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    return (use_fast_attention(model) if arguments.fast_attention else model), tokenizer


def _convert(source: str, arguments: PretrainArguments, training_args: TrainingArguments) -> Path:
    """Convert once, by the first process, into output_dir; a resumed run finds it there."""
    from conversion.convert import convert

    target = Path(str(training_args.output_dir)) / "converted"
    resumed = training_args.resume_from_checkpoint is not None and target.is_dir()
    with training_args.main_process_first(local=False, desc="conversion"):
        if training_args.process_index == 0 and not resumed:
            logger.info("%s is no Longformer: converting it into %s", arguments.model_name_or_path, target)
            convert(
                source,
                target,
                max_pos=arguments.max_pos,
                attention_window=arguments.attention_window,
                revision=arguments.revision,
                overwrite=True,  # an earlier run in this folder may have left a converted model
            )
    return target
