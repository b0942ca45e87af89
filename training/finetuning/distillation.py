"""Teach a model to read a long document as it reads a short one: hidden states of short windows as the target.

A converted model is the source exactly while a document fits the old length; beyond it the tiled positions and the
window's band are new to the weights, and the answer's two tokens of an example say little about them. The model itself
knows better: a frozen copy reads a part of the same document by itself, in windows of the old length, and at every
token of that part the long reading is pulled to the hidden state of the window in which the token is most central. The
part is the answer's paragraph, which the copy then reads with nothing to distract it, or the whole document. It is
knowledge distillation (Hinton et al., 2015, on hidden states as in FitNets, Romero et al., 2015), the short reading
being the teacher.
"""

import copy
from typing import Any

import torch

from foundation.cli import UserError
from training.qa.windows import Window, collate

PARTS = ("paragraph", "document")


class ShortReader:
    """A frozen copy of `model` that reads documents in windows of `max_length` tokens.

    Args:
        model: question-answering model, wrapped for LoRA or not; what it is now is what the copy stays.
        pad_token_id: fills the shorter windows of a batch.
        max_length: tokens of a window, prefix and last token included; a quarter of them are shared with the next one.
    """

    def __init__(self, model: Any, pad_token_id: int, max_length: int):
        whole = copy.deepcopy(model)
        if hasattr(whole, "merge_and_unload"):
            whole = whole.merge_and_unload()
        self.encoder = getattr(whole, whole.base_model_prefix).eval().requires_grad_(False)
        self.config, self.pad_token_id = whole.config, pad_token_id
        self.max_length, self.overlap = max_length, max_length // 4

    @torch.no_grad()
    def hidden_states(self, input_ids: torch.Tensor, document: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        """Last hidden states of the tokens of `part` of one sequence, each from the window where it is most central.

        Args:
            input_ids: (tokens,) a whole sequence: prefix, document, last token, padding.
            document: (tokens,) True on the document.
            part: (tokens,) True on the piece of the document that is read, by itself, after the prefix.

        Returns:
            (tokens of the part, width) float32.
        """
        self.encoder.to(input_ids.device)
        start, length = int(document.int().argmax()), int(part.sum())
        behind, ids = start + int(document.sum()), input_ids.cpu()
        prefix, text, end = ids[:start], ids[part.cpu()], ids[behind : behind + 1]
        room = self.max_length - len(prefix) - len(end)
        if room <= self.overlap:
            raise UserError(
                f"--distil_length {self.max_length} leaves {room} document tokens a window beside the question, no "
                f"more than the {self.overlap} that windows share: give a larger --distil_length"
            )
        starts = range(0, max(length - self.overlap, 1), room - self.overlap)
        texts = [text[first : first + room] for first in starts]
        windows = [
            Window(torch.cat([prefix, piece, end]).numpy(), len(prefix), first, len(piece))
            for first, piece in zip(starts, texts, strict=True)
        ]
        batch = collate(windows, self.config, self.pad_token_id)
        read = self.encoder(**{name: tensor.to(input_ids.device) for name, tensor in batch.items()})[0].float()
        # Of the tokens that two windows share, the first half is taken from the first and the rest from the second.
        cuts = [first + self.overlap // 2 if first else 0 for first in starts] + [length]
        return torch.cat(
            [
                hidden[start + cut - first : start + next_cut - first]
                for hidden, first, cut, next_cut in zip(read, starts, cuts, cuts[1:], strict=False)
            ]
        )

    def error(
        self, input_ids: torch.Tensor, hidden: torch.Tensor, documents: torch.Tensor, parts: torch.Tensor
    ) -> torch.Tensor:
        """How far the long reading is from the short one, as a share of the short one's variance; mean over sequences.

        Args:
            input_ids: (sequences, tokens).
            hidden: (sequences, tokens, width) last hidden states of the long reading.
            documents: (sequences, tokens) True on the document.
            parts: (sequences, tokens) True on the piece of it that is compared; a sequence with none does not count.
        """
        errors = []
        for ids, states, document, part in zip(input_ids, hidden, documents, parts, strict=True):
            if part.any():
                target = self.hidden_states(ids, document, part)
                lost = (states[part].float() - target).square().sum()
                errors.append(lost / (target - target.mean(dim=0)).square().sum().clamp(min=1e-6))
        return torch.stack(errors).mean() if errors else hidden.sum() * 0
