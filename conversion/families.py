"""Which tensor becomes which: one table a family, read by one loop.

A table maps a source name to the Longformer names that receive a copy of it; `{}` stands for the layer; an empty tuple
means "known, and needed by nothing". A name that no table knows is an error, never skipped.

Names are written without the encoder's prefix ("bert.", "roberta."), which files carry or not, and with LayerNorm's
weight and bias under these names (TensorFlow's descendants say gamma and beta).
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from foundation.cli import UserError

from .checkpoint import Tensor
from .legacy import is_old_long

Names = dict[str, tuple[str, ...]]


def _same(*names: str) -> Names:
    return {name: (name,) for name in names}


def _linear(*modules: str) -> Names:
    return _same(*(f"{module}.{kind}" for module in modules for kind in ("weight", "bias")))


POSITIONS = "embeddings.position_embeddings.weight"
WORDS = "embeddings.word_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
SELF = "encoder.layer.{}.attention.self."

PARTS = ("query", "key", "value")
LOCAL = _linear(*(SELF + part for part in PARTS))
GLOBAL = _linear(*(f"{SELF}{part}_global" for part in PARTS))


def _local_to_both(*sources: str) -> Names:
    """Query, key and value by the source's names: the global projections start as copies of the local ones."""
    return {
        f"{source}.{kind}": (f"{SELF}{part}.{kind}", f"{SELF}{part}_global.{kind}")
        for source, part in zip(sources, PARTS, strict=True)
        for kind in ("weight", "bias")
    }


# The names of BERT's encoder without query, key and value. RoBERTa, XLM-R, CamemBERT and ELECTRA have the same.
ENCODER: Names = {
    **_same(WORDS, POSITIONS, TYPES),
    **_linear(
        "embeddings.LayerNorm",
        "encoder.layer.{}.attention.output.dense",
        "encoder.layer.{}.attention.output.LayerNorm",
        "encoder.layer.{}.intermediate.dense",
        "encoder.layer.{}.output.dense",
        "encoder.layer.{}.output.LayerNorm",
    ),
}
POOLER = _linear("pooler.dense")

BERT_ENCODER = {**ENCODER, **_local_to_both(*(SELF + part for part in PARTS))}
LONG_ENCODER = {**ENCODER, **LOCAL, **GLOBAL}

DISTIL = "transformer.layer.{}."
DISTILBERT_ENCODER: Names = {
    **_same(WORDS, POSITIONS),
    **_linear("embeddings.LayerNorm"),
    **_local_to_both(*(f"{DISTIL}attention.{part}_lin" for part in "qkv")),
    **{
        f"{DISTIL}{source}.{kind}": (f"encoder.layer.{{}}.{target}.{kind}",)
        for source, target in (
            ("attention.out_lin", "attention.output.dense"),
            ("sa_layer_norm", "attention.output.LayerNorm"),
            ("ffn.lin1", "intermediate.dense"),
            ("ffn.lin2", "output.dense"),
            ("output_layer_norm", "output.LayerNorm"),
        )
        for kind in ("weight", "bias")
    },
}

# Buffers that older releases of transformers saved. The model computes them itself.
BUFFERS: Names = {"embeddings.position_ids": (), "embeddings.token_type_ids": ()}


# The Auto class that loads each architecture.
AUTO_CLASSES = {
    "LongformerModel": "AutoModel",
    "LongformerForMaskedLM": "AutoModelForMaskedLM",
    "LongformerForQuestionAnswering": "AutoModelForQuestionAnswering",
    "LongformerForSequenceClassification": "AutoModelForSequenceClassification",
    "LongformerForTokenClassification": "AutoModelForTokenClassification",
    "LongformerForMultipleChoice": "AutoModelForMultipleChoice",
}


@dataclass(frozen=True)
class Head:
    """A head with a counterpart in Longformer: the class that holds it and the names of its tensors.

    `required` tensors tell that a file has this head; `optional` ones may be absent because they are tied to others.
    """

    longformer: str
    required: Names
    optional: Names = field(default_factory=dict)


DECODER_WEIGHT, DECODER_BIAS = "lm_head.decoder.weight", "lm_head.decoder.bias"

QUESTION_ANSWERING = Head("LongformerForQuestionAnswering", _linear("qa_outputs"))
TOKEN_CLASSIFICATION = Head("LongformerForTokenClassification", _linear("classifier"))
MULTIPLE_CHOICE = Head("LongformerForMultipleChoice", {**POOLER, **_linear("classifier")})

ROBERTA_HEADS = {
    "ForMaskedLM": Head(
        "LongformerForMaskedLM",
        {**_linear("lm_head.dense", "lm_head.layer_norm"), **_same("lm_head.bias")},
        _same(DECODER_WEIGHT, DECODER_BIAS),
    ),
    "ForQuestionAnswering": QUESTION_ANSWERING,
    "ForSequenceClassification": Head(
        "LongformerForSequenceClassification", _linear("classifier.dense", "classifier.out_proj")
    ),
    "ForTokenClassification": TOKEN_CLASSIFICATION,
    "ForMultipleChoice": MULTIPLE_CHOICE,
}

BERT_MASKED_LM = Head(
    "LongformerForMaskedLM",
    {
        "cls.predictions.transform.dense.weight": ("lm_head.dense.weight",),
        "cls.predictions.transform.dense.bias": ("lm_head.dense.bias",),
        "cls.predictions.transform.LayerNorm.weight": ("lm_head.layer_norm.weight",),
        "cls.predictions.transform.LayerNorm.bias": ("lm_head.layer_norm.bias",),
        "cls.predictions.bias": ("lm_head.bias",),
    },
    {"cls.predictions.decoder.weight": (DECODER_WEIGHT,), "cls.predictions.decoder.bias": (DECODER_BIAS,)},
)

BERT_HEADS = {
    "ForMaskedLM": BERT_MASKED_LM,
    "ForPreTraining": BERT_MASKED_LM,
    "ForQuestionAnswering": QUESTION_ANSWERING,
    # BERT classifies its pooled first token. In Longformer the pooler is a part of the classifier.
    "ForSequenceClassification": Head(
        "LongformerForSequenceClassification",
        {
            "pooler.dense.weight": ("classifier.dense.weight",),
            "pooler.dense.bias": ("classifier.dense.bias",),
            "classifier.weight": ("classifier.out_proj.weight",),
            "classifier.bias": ("classifier.out_proj.bias",),
        },
    ),
    "ForTokenClassification": TOKEN_CLASSIFICATION,
    "ForMultipleChoice": MULTIPLE_CHOICE,
}

# No sequence classifier here: ELECTRA's has gelu and DistilBERT's relu where Longformer's has tanh.
ELECTRA_HEADS = {
    "ForMaskedLM": Head(
        "LongformerForMaskedLM",
        {
            "generator_predictions.dense.weight": ("lm_head.dense.weight",),
            "generator_predictions.dense.bias": ("lm_head.dense.bias",),
            "generator_predictions.LayerNorm.weight": ("lm_head.layer_norm.weight",),
            "generator_predictions.LayerNorm.bias": ("lm_head.layer_norm.bias",),
            "generator_lm_head.bias": ("lm_head.bias",),
        },
        {"generator_lm_head.weight": (DECODER_WEIGHT,)},
    ),
    "ForQuestionAnswering": QUESTION_ANSWERING,
    "ForTokenClassification": TOKEN_CLASSIFICATION,
}

DISTILBERT_HEADS = {
    "ForMaskedLM": Head(
        "LongformerForMaskedLM",
        {
            "vocab_transform.weight": ("lm_head.dense.weight",),
            "vocab_transform.bias": ("lm_head.dense.bias",),
            "vocab_layer_norm.weight": ("lm_head.layer_norm.weight",),
            "vocab_layer_norm.bias": ("lm_head.layer_norm.bias",),
            "vocab_projector.bias": ("lm_head.bias",),
        },
        {"vocab_projector.weight": (DECODER_WEIGHT,)},
    ),
    "ForQuestionAnswering": QUESTION_ANSWERING,
    "ForTokenClassification": TOKEN_CLASSIFICATION,
}


@dataclass(frozen=True)
class Family:
    """What sets one model type apart."""

    prefix: str  # of the encoder's tensors in a file that has a head
    heads: dict[str, Head]  # by the end of the architecture's name
    encoder: Names = field(default_factory=lambda: BERT_ENCODER)
    without_counterpart: Names = field(default_factory=dict)  # tensors of heads that Longformer lacks
    positions_after_padding: bool = False  # the first token is at row pad_token_id + 1, else at row 0
    head_activation: str | None = None  # of the LM head; None: the config's hidden_act
    settings: dict[str, Any] = field(default_factory=dict)  # Longformer's setting: the family's name of it, or a value


ROBERTA = Family("roberta.", ROBERTA_HEADS, positions_after_padding=True, head_activation="gelu")

FAMILIES = {
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "bert": Family("bert.", BERT_HEADS, without_counterpart=dict.fromkeys(_linear("cls.seq_relationship"), ())),
    "electra": Family(
        "electra.",
        ELECTRA_HEADS,
        without_counterpart=dict.fromkeys(
            _linear(
                "discriminator_predictions.dense",
                "discriminator_predictions.dense_prediction",
                "classifier.dense",
                "classifier.out_proj",
                "sequence_summary.summary",
            ),
            (),
        ),
        head_activation="gelu",
    ),
    "distilbert": Family(
        "distilbert.",
        DISTILBERT_HEADS,
        DISTILBERT_ENCODER,
        without_counterpart=dict.fromkeys(_linear("pre_classifier"), ()),
        settings={
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-12,
            "bos_token_id": None,
            "eos_token_id": None,
        },
    ),
    "longformer": Family(
        "longformer.", ROBERTA_HEADS, LONG_ENCODER, positions_after_padding=True, head_activation="gelu"
    ),
}

_RELATIVE = "its attention adds relative positions, which Longformer lacks"
_NARROW = "its embeddings are narrower than its layers, and Longformer has no projection between them"
_XLM_R = "convert XLM-R (FacebookAI/xlm-roberta-base)"

# Model types that people ask for and that cannot be converted: why not, and what to convert instead.
REFUSED = {
    "deberta": f"{_RELATIVE}: convert a RoBERTa or BERT of its language",
    "deberta-v2": f"{_RELATIVE}: in mDeBERTa's place {_XLM_R}",
    "mpnet": f"{_RELATIVE}: convert a RoBERTa, or an XLM-R such as intfloat/multilingual-e5-base",
    "xlm-roberta-xl": "it normalises before each layer and Longformer after it: convert FacebookAI/xlm-roberta-large",
    "roberta-prelayernorm": "it normalises before each layer and Longformer after it: convert a RoBERTa",
    "modernbert": "its positions are rotations, and it reads 8,192 tokens by itself: fine-tune and score it as it is",
    "eurobert": "its positions are rotations, and it reads 8,192 tokens by itself: use it as it is",
    "big_bird": "it has a sparse attention of its own and reads 4,096 tokens by itself: use it as it is",
    "albert": f"{_NARROW}: convert a BERT of its language",
    "rembert": f"{_NARROW}: {_XLM_R}",
    "xmod": f"its layers hold an adapter for each language, which Longformer lacks: {_XLM_R}",
    "xlm": f"its language embeddings have no place in Longformer: {_XLM_R}",
    "t5": "it is an encoder with a decoder, and its positions are relative: convert an encoder",
    "mt5": f"it is an encoder with a decoder, and its positions are relative: {_XLM_R}",
}


def setting(config: Any, name: str) -> Any:
    """What the source's config says of Longformer's setting `name`."""
    own = FAMILIES[config.model_type].settings.get(name, name)
    return getattr(config, own, None) if isinstance(own, str) else own


# Two names of one tensor where the config ties input and output embeddings. A file may hold only one of them.
TIED = (
    (WORDS, DECODER_WEIGHT),
    (WORDS, "cls.predictions.decoder.weight"),
    (WORDS, "generator_lm_head.weight"),
    (WORDS, "vocab_projector.weight"),
    ("lm_head.bias", DECODER_BIAS),
    ("cls.predictions.bias", "cls.predictions.decoder.bias"),
)


def restore_ties(tensors: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """`tensors` with the names of TIED that a saver of shared tensors left out."""
    prefix = FAMILIES[config.model_type].prefix
    stem = prefix if any(name.startswith(prefix) for name in tensors) else ""
    tensors = dict(tensors)
    for own, output in TIED if config.tie_word_embeddings else ():
        name = stem + own if own == WORDS else own
        if name not in tensors and output in tensors:
            tensors[name] = tensors[output]
    return tensors


@dataclass(frozen=True)
class Mapping:
    """The plan of one conversion: Longformer's tensor name -> the name in the source file."""

    architecture: str
    names: dict[str, str]
    has_global: bool  # the source holds global projections, so it is long already
    notes: list[str]


def map_names(names: Collection[str], config: Any) -> Mapping:
    """Plan the conversion of a checkpoint with these tensor `names` and this (transformers) `config`.

    Raises:
        UserError: names that the family's table does not know, or encoder tensors that are missing.
    """
    family = FAMILIES[config.model_type]
    width = getattr(config, "embedding_size", config.hidden_size)
    if width != config.hidden_size:
        raise UserError(
            f"its embeddings are {width} wide and its layers {config.hidden_size}, and Longformer has no projection"
            " between them: convert a model whose widths are equal (ELECTRA's base and large are)"
        )
    given = {_canonical(name, family.prefix): name for name in names}
    twice = sorted(set(names) - set(given.values()))
    if twice:
        raise UserError(
            f"the source names a tensor twice, with and without {family.prefix!r}: {few(twice)}; save it anew"
        )
    has_global = is_old_long(names)
    if has_global and not family.positions_after_padding:
        raise UserError(f"an old long checkpoint of type {config.model_type!r} is not known: only RoBERTa's kin are")
    encoder = _layers(LONG_ENCODER if has_global else family.encoder, config.num_hidden_layers)
    head, notes = _head(family, given, config)
    table = {**encoder, **POOLER, **(head.required | head.optional if head else {})}
    needless = {**BUFFERS, **family.without_counterpart}
    for other in family.heads.values():
        needless |= {name: () for name in {**other.required, **other.optional} if name not in table}

    _refuse_unknown(given, table | needless, config.model_type)
    missing = sorted(name for name in encoder if name not in given)
    if missing:
        raise UserError(f"the source lacks tensors of a {config.model_type} encoder: {few(missing)}")
    dropped = sorted(name for name in given if not table.get(name) and name not in BUFFERS)
    if dropped:
        why = "Longformer has no place for them"
        if "classifier.weight" in dropped and not (config.architectures or [None])[0]:
            why = "config.json names no architecture, which tells what a classifier is for"
        notes.append(f"dropped, {why}: {', '.join(dropped)}")

    prefix = "longformer." if head else ""
    targets = {}
    for name, receivers in table.items():
        for receiver in receivers if name in given else ():
            in_encoder = receiver.startswith(("embeddings.", "encoder.", "pooler."))
            targets[(prefix if in_encoder else "") + receiver] = given[name]
    return Mapping(head.longformer if head else "LongformerModel", targets, has_global, notes)


def _canonical(name: str, prefix: str) -> str:
    name = name.removeprefix(prefix)
    if name.endswith("LayerNorm.gamma"):
        return name.removesuffix("gamma") + "weight"
    if name.endswith("LayerNorm.beta"):
        return name.removesuffix("beta") + "bias"
    return name


def _layers(table: Names, layers: int) -> Names:
    """`table` with `{}` written out for every layer."""
    full: Names = {}
    for name, receivers in table.items():
        for layer in range(layers) if "{}" in name else [0]:
            full[name.format(layer)] = tuple(receiver.format(layer) for receiver in receivers)
    return full


def _head(family: Family, given: dict[str, str], config: Any) -> tuple[Head | None, list[str]]:
    """The head to keep: the one that the config's architecture names, else the one whose tensors are there."""
    notes = []
    architecture = (config.architectures or [""])[0]
    named = next((head for ending, head in family.heads.items() if architecture.endswith(ending)), None)
    head = named if named and named.required.keys() <= given.keys() else None
    if named and not head:
        notes.append(f"the config says {architecture}, but that head's tensors are not in the file")
    if not head:
        # Both token and sequence classification have a `classifier.weight`. Only the architecture tells them apart.
        telling = [h for h in family.heads.values() if "classifier.weight" not in h.required]
        head = next((h for h in telling if h.required.keys() <= given.keys()), None)
    activation = family.head_activation or setting(config, "hidden_act")
    if head and head.longformer == "LongformerForMaskedLM" and activation != "gelu":
        notes.append(f"masked-LM head left out: Longformer's uses gelu, this one {activation}; the encoder is kept")
        head = None
    return head, notes


def _refuse_unknown(given: dict[str, str], known: Names, model_type: str) -> None:
    unknown = sorted(original for name, original in given.items() if name not in known)
    if unknown:
        raise UserError(
            f"the source holds tensors that are not in the table of {model_type!r}"
            f" (conversion/families.py): {few(unknown)}; check that config.json belongs to this file"
        )


def few(names: list[str]) -> str:
    """Names in a sentence: twelve at most."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
