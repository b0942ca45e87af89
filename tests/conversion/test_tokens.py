"""Padding ids, vocabularies and token types: the long model reads what its tokenizer gives as its source did."""

import json

import pytest
import torch
import transformers

from conversion.convert import convert
from conversion.report import VerificationError
from conversion.tokens import document_token_type
from conversion.verify import verify
from foundation.cli import UserError
from training.qa.model import load_qa_model
from training.qa.windows import Windower, collate

from .checkpoints import TEXTS, edit_config, load_tensors, make_checkpoint, make_tokenizer, save_tensors

SMALL = {"max_pos": 256, "attention_window": 128}
READ = [*TEXTS, "ꙮ unknown 𓀀 words", "A [MASK] <mask> stands here."]


def largest_difference(source, long, model="AutoModel"):
    """Of the hidden states on real texts and a padded batch of them, each model's as its own tokenizer gives it."""
    states = []
    for folder in (source, long):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        loaded = getattr(transformers, model).from_pretrained(folder, dtype=torch.float32).eval()
        inputs = tokenizer(READ, padding=True, truncation=True, max_length=64, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            states.append(loaded(**inputs).last_hidden_state[inputs["attention_mask"].bool()])
    return (states[0] - states[1]).abs().max().item()


def pads_with(folder, token):
    """Save the folder's tokenizer with another padding token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = token
    tokenizer.save_pretrained(folder)


def test_a_roberta_whose_tokenizer_pads_with_its_end(tmp_path, capsys):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    pads_with(source, "</s>")
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "padded with '</s>': it pads with '<pad>' now" in capsys.readouterr().err
    assert transformers.AutoTokenizer.from_pretrained(long).pad_token_id == 1
    assert transformers.AutoConfig.from_pretrained(long).pad_token_id == 1
    assert largest_difference(source, long) < 1e-5


def test_the_proof_sees_positions_shifted_by_padding(tmp_path):
    """Planted: the long form that takes a tokenizer's padding id which also ends every text."""
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    pads_with(source, "</s>")
    long = convert(str(source), tmp_path / "long", verify=False, **SMALL)
    tensors = load_tensors(long)
    name = "embeddings.position_embeddings.weight"
    tensors[name] = torch.cat([torch.zeros(1, 32), tensors[name]])
    save_tensors(long, tensors)
    edit_config(long, pad_token_id=2, max_position_embeddings=len(tensors[name]))
    pads_with(long, "</s>")
    assert largest_difference(source, long) > 0.1
    with pytest.raises(VerificationError, match="tokenizer"):
        verify(str(source), long)


def test_the_runs_on_texts_see_it_too(tmp_path, monkeypatch):
    """Planted: the rule that took the tokenizer's padding id whatever it is, in the conversion and in the checks."""
    from conversion import checks
    from conversion import convert as command

    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    pads_with(source, "</s>")
    for module in (command, checks):
        monkeypatch.setattr(module, "settle_padding", lambda tokenizer, config, name: (tokenizer.pad_token_id, ""))
    with pytest.raises(VerificationError) as raised:
        convert(str(source), tmp_path / "long", **SMALL)
    wrong = [check.detail for check in raised.value.report.checks if not check.passed]
    assert wrong and all("of all scripts" in detail for detail in wrong)


def test_a_padding_id_of_the_config_that_is_a_word(tmp_path, capsys):
    """A RoBERTa with BERT's tokenizer: id 1, which gets no position, is its unknown word; 0 pads."""
    source = make_checkpoint(
        tmp_path / "source", "roberta", positions=128, tokenizer=make_tokenizer("bert"), pad_token_id=1
    )
    edit_config(source, max_position_embeddings=130)
    tensors = load_tensors(source)
    name = next(name for name in tensors if name.endswith("position_embeddings.weight"))
    tensors[name] = torch.cat([tensors[name], torch.randn(130 - len(tensors[name]), 32)])
    save_tensors(source, tensors)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "each is kept" in capsys.readouterr().err
    assert transformers.AutoConfig.from_pretrained(long).pad_token_id == 1
    assert transformers.AutoTokenizer.from_pretrained(long).pad_token_id == 0
    assert largest_difference(source, long) < 1e-5


def test_a_bert_whose_config_pads_with_its_unknown_word(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128, pad_token_id=1)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert transformers.AutoConfig.from_pretrained(long).pad_token_id == 0
    assert largest_difference(source, long) < 1e-5


@pytest.mark.parametrize("token", ["[SEP]", "[UNK]", None])
def test_a_bert_whose_tokenizer_does_not_pad_with_a_token_of_its_own(tmp_path, token, capsys):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128)
    tokenizer = make_tokenizer("bert")
    tokenizer.pad_token = token
    tokenizer.save_pretrained(source)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert "it pads with '[PAD]' now" in capsys.readouterr().err
    assert transformers.AutoTokenizer.from_pretrained(long).pad_token_id == 0
    if token:
        assert largest_difference(source, long) < 1e-5


def test_no_token_that_could_pad_and_the_sentence_mends_it(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128)
    vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    vocabulary["filler"] = vocabulary.pop("[PAD]")
    tokenizer = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=False, pad_token="[SEP]")
    tokenizer.save_pretrained(source)
    said = r"pads with '\[SEP\]'.*add_special_tokens\(.*resize_token_embeddings\(len\(tokenizer\)\), and save both"
    with pytest.raises(UserError, match=said):
        convert(str(source), tmp_path / "long", **SMALL)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    model = transformers.AutoModel.from_pretrained(source)
    tokenizer.save_pretrained(source)
    with pytest.raises(UserError, match=r"has 301 tokens .*only 300 embeddings .*resize_token_embeddings"):
        convert(str(source), tmp_path / "long", **SMALL)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(source)
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert transformers.AutoConfig.from_pretrained(long).pad_token_id == 300
    assert largest_difference(source, long) < 1e-5


def test_a_config_without_a_padding_id(tmp_path):
    source = make_checkpoint(tmp_path / "roberta", "roberta", positions=128)
    config = json.loads((source / "config.json").read_text()) | {"pad_token_id": None}
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="says pad_token_id: null, and a roberta counts its positions from there"):
        convert(str(source), tmp_path / "long", **SMALL)
    source = make_checkpoint(tmp_path / "bert", "bert", positions=128)  # BERT counts its positions from 0
    config = json.loads((source / "config.json").read_text()) | {"pad_token_id": None}
    (source / "config.json").write_text(json.dumps(config))
    assert largest_difference(source, convert(str(source), tmp_path / "long", **SMALL)) < 1e-5


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_a_qa_model_keeps_the_token_types_that_its_head_was_trained_with(tmp_path, model_type):
    """The same windows, as this project's reader makes them, give the source's logits."""
    source = make_checkpoint(tmp_path / "source", model_type, "ForQuestionAnswering", positions=128, type_vocab_size=2)
    long = convert(str(source), tmp_path / "long", **SMALL)
    tokenizer = transformers.AutoTokenizer.from_pretrained(long)
    windower = Windower(tokenizer, 60, 8)
    windows = list(windower.windows("Was fließt?", windower.document(" ".join(TEXTS))))
    logits = []
    for folder in (source, long):
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
        batch = collate(windows, model.config, tokenizer.pad_token_id)
        with torch.no_grad():
            logits.append(model(**batch).start_logits[batch["attention_mask"].bool()])
        assert document_token_type(model.config) == (model_type == "bert")
        assert ("token_type_ids" in batch) == (model_type == "bert")
    assert (logits[0] - logits[1]).abs().max() < 1e-5


def test_what_a_model_was_fine_tuned_with_decides(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", "ForQuestionAnswering", positions=128)
    edit_config(source, document_token_type=0)
    long = convert(str(source), tmp_path / "long", verify=False, **SMALL)
    assert document_token_type(transformers.AutoConfig.from_pretrained(long)) == 0
    encoder = convert(str(make_checkpoint(tmp_path / "bert", "bert", positions=128)), tmp_path / "encoder", **SMALL)
    # It has no head that was trained on types.
    assert document_token_type(transformers.AutoConfig.from_pretrained(encoder)) == 0


def test_a_model_that_is_fine_tuned_here_records_its_token_types(tmp_path):
    """A BERT learns with types, its long form without; both say so, and the next conversion or reader follows."""
    bert = make_checkpoint(tmp_path / "bert", "bert", positions=128)
    encoder = convert(str(bert), tmp_path / "encoder", verify=False, **SMALL)
    for folder, types in ((bert, 1), (encoder, 0)):
        model, tokenizer = load_qa_model(str(folder), fresh_head=True)
        model.save_pretrained(tmp_path / f"qa-{types}")
        tokenizer.save_pretrained(tmp_path / f"qa-{types}")
        assert json.loads((tmp_path / f"qa-{types}" / "config.json").read_text())["document_token_type"] == types
    long = convert(str(tmp_path / "qa-1"), tmp_path / "long", verify=False, **SMALL)
    assert document_token_type(transformers.AutoConfig.from_pretrained(long)) == 1


def test_a_vocabulary_larger_than_its_model_is_refused_by_the_reader_too(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", "ForQuestionAnswering", positions=128)
    tokenizer = make_tokenizer("bert")
    tokenizer.add_tokens(["extra"])
    tokenizer.save_pretrained(source)
    with pytest.raises(UserError, match=r"has 301 tokens and its model only 300 embeddings \('extra' has none\)"):
        load_qa_model(str(source))


def test_a_tokenizer_that_is_not_fast(tmp_path):
    """As PhoBERT's: converted and proven."""
    (tmp_path / "vocab").mkdir()
    words = sorted({word for text in TEXTS for word in text.split()})
    (tmp_path / "vocab" / "vocab.txt").write_text("".join(f"{letter} 1\n" for letter in sorted(set("".join(words)))))
    (tmp_path / "vocab" / "bpe.codes").write_text("#version: 0.2\n")
    tokenizer = transformers.PhobertTokenizer(
        str(tmp_path / "vocab" / "vocab.txt"), str(tmp_path / "vocab" / "bpe.codes"), model_max_length=128
    )
    assert not tokenizer.is_fast
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128, tokenizer=tokenizer)
    long = convert(str(source), tmp_path / "long", **SMALL)
    converted = transformers.AutoTokenizer.from_pretrained(long)
    assert type(converted) is transformers.PhobertTokenizer and converted.model_max_length == 256
    assert largest_difference(source, long) < 1e-5
    assert Windower(converted, 60, 8).document(TEXTS[0]).offsets[-1, 1] == len(TEXTS[0].rstrip())
