"""A reader whose right answers are known: it answers with the words of the question, wherever the document has them.

The model finds the question's own tokens in the document part of each window and scores earlier places higher; "no
answer" wins where they are not there. What windows, spans, places and page do with such scores can then be checked
against `str.find`.
"""

from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast

from space.gallery import examples
from space.reader import Reader
from training.qa.windows import Windower

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SCORE, NO_ANSWER = 6.0, 5.0


def tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE; words and signs are split, so that a word has the same tokens wherever it stands."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([example.text[:2_000] for example in examples().values()], trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos": 0, "cls": 0, "pad": 1, "sep": 2, "eos": 2, "unk": 3, "mask": 4}
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, model_max_length=max_length, **{f"{n}_token": SPECIALS[i] for n, i in names.items()}
    )


class EchoModel(nn.Module):
    """Logits of shape (windows, tokens) as a Longformer for question answering gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="longformer")
        self.device = torch.device("cpu")
        self.calls = 0

    def forward(self, input_ids: torch.Tensor, global_attention_mask: torch.Tensor, **_: Any) -> SimpleNamespace:
        self.calls += 1
        start, end = torch.full(input_ids.shape, -20.0), torch.full(input_ids.shape, -20.0)
        for row, (ids, prefix) in enumerate(
            zip(input_ids.tolist(), global_attention_mask.sum(1).tolist(), strict=True)
        ):
            question = ids[1 : prefix - 2]
            start[row, 0] = end[row, 0] = NO_ANSWER
            for at in range(prefix, len(ids) - len(question)):
                if ids[at : at + len(question)] == question:
                    start[row, at] = SCORE - at / 100_000
                    end[row, at + len(question) - 1] = SCORE
        return SimpleNamespace(start_logits=start, end_logits=end)


def echo_reader(max_length: int = 128) -> Reader:
    windower = Windower(tokenizer(max_length), max_length, doc_stride=32)
    return Reader(EchoModel(), windower, "echo")
