"""A question-answering model and its tokenizer, from a checkpoint or from an adapter on one."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from conversion.attention import use_fast_attention
from conversion.named import resolve
from conversion.tokens import check_vocabulary, document_token_type
from foundation.cli import UserError, one_line
from foundation.model_files import READING
from training.runs.loading import explain_loading
from training.runs.origin import adapter_config, base_of_adapter, beside_model

from .second_look import places_of, read_places, set_places

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

# The settings' names in BERT and its kin, in ModernBERT, in DistilBERT.
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob",
             "attention_dropout", "embedding_dropout", "mlp_dropout", "dropout", "qa_dropout")  # fmt: skip


def load_qa_model(
    model_name_or_path: str,
    *,
    adapter: str | None = None,
    revision: str | None = None,
    fresh_head: bool = False,
    fast_attention: bool = True,
    dropout: float | None = None,
    train_adapter: bool = False,
    second_look: int | None = None,
) -> tuple[Any, "PreTrainedTokenizerBase"]:
    """Load any encoder as AutoModelForQuestionAnswering, and its tokenizer.

    Args:
        model_name_or_path: "embedded", "embedded-long", a folder, a Hub id, or a LoRA adapter's folder or Hub id
            (its base model is then read from the adapter's configuration).
        adapter: a LoRA adapter to merge into the model.
        fresh_head: start a new QA head where the checkpoint has none, and say so; otherwise that is an error.
        fast_attention: give Longformers the exact fast attention.
        dropout: every dropout probability of the configuration; None leaves the checkpoint's own.
        train_adapter: keep the adapter's matrices apart, to train them further, instead of merging them.
        second_look: places that it looks at again (`second_look`); None leaves what model or adapter were trained for.

    Raises:
        UserError: no such checkpoint, weights missing from it, or no QA head.
    """
    from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

    adapter_revision = None
    if adapter is None and (base := base_of_adapter(model_name_or_path, revision)) is not None:
        adapter, adapter_revision = model_name_or_path, revision
        model_name_or_path, revision = base
    source = resolve(model_name_or_path)
    with explain_loading(model_name_or_path):
        config = AutoConfig.from_pretrained(source, revision=revision, return_dict=True, trust_remote_code=False)
        config.document_token_type = document_token_type(config)  # saved with the model, whose head is trained on it
        if dropout is not None:
            config.update({name: dropout for name in _DROPOUTS if hasattr(config, name)})
        with _without_load_report():
            model, info = AutoModelForQuestionAnswering.from_pretrained(
                source,
                revision=revision,
                config=config,
                dtype=torch.float32,  # half precision would lose most of Adam's small steps
                output_loading_info=True,
                trust_remote_code=False,
            )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    check_vocabulary(tokenizer, config.vocab_size, model_name_or_path)
    missing = sorted(info["missing_keys"])
    lost = [key for key in missing if key.startswith(f"{model.base_model_prefix}.")]
    if lost:
        raise UserError(
            f"--model_name_or_path {model_name_or_path!r} lacks {len(lost)} weights of its encoder, {lost[0]!r} first: "
            "it is not a whole checkpoint of the architecture that its config.json names"
        )
    if missing and adapter is None:
        if not fresh_head:
            raise UserError(
                f"--model_name_or_path {model_name_or_path!r} has no question-answering head: "
                "fine-tune it first with training/finetune.py --do_train, or name an adapter"
            )
        logger.warning("%s has no question-answering head: a fresh one is started", model_name_or_path)
    if fast_attention:
        use_fast_attention(model)
    if adapter is not None:
        if missing and not _trains(adapter, head_name(model), adapter_revision):
            raise UserError(
                f"neither {model_name_or_path!r} nor the adapter {adapter!r} has a question-answering head: give an "
                "adapter of training/finetune.py, which holds one"
            )
        model = _with_adapter(model, adapter, train_adapter, adapter_revision)
    said_by = "--second_look"
    if second_look is None and adapter is not None:
        second_look, said_by = read_places(beside_model(adapter, READING, adapter_revision)), f"{READING}: second_look"
    if second_look is None:
        second_look, said_by = places_of(model), "config.json: second_look"
    set_places(model, second_look, said_by)
    return model.eval(), tokenizer


def is_adapter(model: Any) -> bool:
    """Whether `model` trains the matrices of an adapter, and saves them alone."""
    return hasattr(model, "merge_and_unload")


def head_name(model: Any) -> str:
    """Name of the module that turns hidden states into start and end logits."""
    names = [name for name in ("qa_outputs", "classifier") if hasattr(model, name)]
    if not names:
        raise UserError(f"{type(model).__name__} has no known question-answering head: use a BERT-like encoder")
    return names[0]


def freeze_all_but(model: Any, part: str) -> None:
    """Train only those of the trained parameters whose names have `part` in them.

    Raises:
        UserError: no trained parameter is called so.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not any(part in name for name in trained):
        raise UserError(
            f"--train_only {part!r} is in the name of no trained parameter: give a part of one, such as "
            f"{next(iter(trained))!r}"
        )
    for name, parameter in trained.items():
        parameter.requires_grad_(part in name)


def reads_at_most(model: Any) -> int:
    """Tokens of the longest sequence that the position table of `model` holds.

    A table with a row for padding is numbered as in fairseq: what stands before that row and itself are not used.
    """
    tables = (m for name, m in model.named_modules() if name.endswith("embeddings.position_embeddings"))
    padding = getattr(next(tables, None), "padding_idx", None)
    return int(model.config.max_position_embeddings - (0 if padding is None else padding + 1))


def check_max_length(model: Any, max_length: int | None, flag: str = "--max_length") -> int:
    """`max_length`, or the model's own length when it is None; more than the model has positions for is an error."""
    limit = reads_at_most(model)
    if max_length is not None and max_length > limit:
        raise UserError(
            f"{flag} {max_length} is above the {limit} tokens that this model has positions for: "
            f"give at most {limit}, or convert the model with conversion.convert"
        )
    return limit if max_length is None else max_length


def add_lora(model: Any, arguments: Any) -> Any:
    """Wrap `model` for LoRA on every linear map of its encoder, Longformer's global ones too; the head trains whole.

    `arguments` has `model_name_or_path`, `revision`, `lora_r`, `lora_alpha` and `lora_dropout`.
    """
    from peft import LoraConfig, get_peft_model

    head = head_name(model)
    if is_adapter(model):
        raise UserError(
            f"--lora_r {arguments.lora_r} starts a new adapter, but --model_name_or_path "
            f"{arguments.model_name_or_path!r} is one already: leave --lora_r out to train it further"
        )
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha or 2 * arguments.lora_r,
        lora_dropout=arguments.lora_dropout,
        target_modules="all-linear",
        modules_to_save=[head],
        base_model_name_or_path=arguments.model_name_or_path,
        revision=arguments.revision,
    )
    with _without_warnings():
        wrapped = get_peft_model(model, config)
    config.base_model_name_or_path = arguments.model_name_or_path  # works on any machine; peft put the loaded path here
    return _saved_by_itself(wrapped)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without what peft says of the path that it puts in, and of an attribute whose name it asks transformers for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*base_model_name_or_path.*")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield


def _saved_by_itself(wrapped: Any) -> Any:
    """peft would ask the Hub at every save for the base, `embedded-long` too, to see whether its vocabulary has grown
    since. Nothing here makes one grow."""
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)
    return wrapped


def _trains(adapter: str, head: str, revision: str | None) -> bool:
    """Whether the adapter holds the head whole."""
    config = adapter_config(adapter, revision)
    return config is None or head in (config.get("modules_to_save") or ())


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Without transformers' report of weights that are missing, for an adapter fills them a moment later; what is
    missing in the end is said here. Who silences it is told of every layer that is not sharded, which goes with it."""
    names = ("modeling_utils", "distributed.tensor_parallel")
    reporters = [logging.getLogger(f"transformers.{name}") for name in names]
    levels = [each.level for each in reporters]
    for each in reporters:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(reporters, levels, strict=True):
            each.setLevel(level)


def _with_adapter(model: Any, adapter: str, trainable: bool, revision: str | None) -> Any:
    from peft import PeftModel

    try:
        with _without_warnings():
            wrapped = PeftModel.from_pretrained(model, adapter, is_trainable=trainable, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"--adapter {adapter!r} does not fit this model: {one_line(error)}") from error
    return _saved_by_itself(wrapped) if trainable else wrapped.merge_and_unload()
