"""Learn something new and keep what a reader knows: its answers are targets beside the gold ones.

A reader that is trained on one kind of question loses some of the others. So another one, the teacher, reads the same
windows, and the pupil's probabilities are drawn to its: which other words would nearly do says more than the one right
place (knowledge distillation, Hinton et al., 2015, at temperature 1). Only where the teacher is right: what it does not
know, it shall not teach.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from foundation.cli import UserError
from training.qa import second_look
from training.qa.model import load_qa_model, reads_at_most

from .batches import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_teacher(path: str, pupil: Any, tokenizer: "PreTrainedTokenizerBase", fast_attention: bool = True) -> Any:
    """The model of `path`, frozen; it must be able to read the batches of `pupil`.

    Args:
        path: as `load_qa_model` takes it.

    Raises:
        UserError: another architecture, another vocabulary or fewer positions.
    """
    teacher, words = load_qa_model(path, fast_attention=fast_attention)
    differs = None
    if teacher.config.model_type != pupil.config.model_type:
        differs = f"is of type {teacher.config.model_type}, and the model that is trained of {pupil.config.model_type}"
    elif words.get_vocab() != tokenizer.get_vocab():
        differs = "has another vocabulary than the model that is trained"
    elif reads_at_most(teacher) < reads_at_most(pupil):
        differs = f"reads {reads_at_most(teacher)} tokens, and the model that is trained {reads_at_most(pupil)}"
    if differs:
        raise UserError(f"--teacher {path!r} {differs}: give a reader made from the same checkpoint")
    return teacher.requires_grad_(False)


def disagreement(
    teacher: Any,
    batch: Mapping[str, torch.Tensor],
    outputs: Any,
    starts: torch.Tensor,
    ends: torch.Tensor,
    allowed: torch.Tensor,
) -> torch.Tensor:
    """KL(teacher || pupil) of where answers start and end, summed over tokens; mean over the windows.

    A window where the teacher's likeliest token is no gold one adds 0. Where the pupil has read parts of a document
    (its other logits are -inf), the teacher's probabilities are of these parts.

    Args:
        teacher: of `load_teacher`.
        batch: the model's inputs.
        outputs: of the pupil for `batch`.
        starts, ends: (windows, golds), padded with IGNORED.
        allowed: (windows, tokens), True where an answer can be.
    """
    teacher.to(allowed.device)
    with torch.no_grad():
        read = second_look.read(teacher, dict(batch), second_look.places_of(teacher))
    found = []
    for theirs, ours, gold in (
        (read.start_logits, outputs.start_logits, starts),
        (read.end_logits, outputs.end_logits, ends),
    ):
        best = theirs.float().masked_fill(~allowed, second_look.NEVER).argmax(-1, keepdim=True)
        right = ((best == gold) & (gold != IGNORED)).any(-1)
        both = allowed & ours.isfinite() & theirs.isfinite()
        target = theirs.float().masked_fill(~both, second_look.NEVER).log_softmax(-1)
        pupil = ours.float().masked_fill(~both, second_look.NEVER).log_softmax(-1)
        # Twice -inf has no difference.
        terms = target.exp() * (target.masked_fill(~both, 0) - pupil.masked_fill(~both, 0))
        found.append(terms.sum(-1) * right)
    return (found[0] + found[1]).mean() / 2
