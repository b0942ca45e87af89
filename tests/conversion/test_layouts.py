"""Files as they are in the wild: prefixes, old names, shards, .bin, a tokenizer that pads otherwise than the config."""

import json

import pytest
import torch
import transformers

from conversion.checkpoint import from_torch
from conversion.convert import convert
from conversion.plan import tile_positions
from conversion.report import VerificationError
from conversion.verify import verify
from foundation.cli import UserError

from .checkpoints import PREFIXES, TEXTS, edit_config, load_tensors, make_checkpoint, make_tokenizer, save_tensors
from .test_convert import batch, difference

SMALL = {"max_pos": 256, "attention_window": 128}


def check(source, long, lengths=(5, 33, 64)):
    before = transformers.AutoModel.from_pretrained(source, dtype=torch.float32)
    after = transformers.AutoModel.from_pretrained(long, dtype=torch.float32)
    assert difference(before, after, batch(after, lengths)) < 1e-5
    return after


def test_tiling_in_small_numbers():
    def tile(rows, source_first, first, max_pos, keep, tile_from=0):
        table = from_torch(torch.tensor(rows, dtype=torch.float32)[:, None])
        output = tile_positions(table, source_first, first, max_pos, tile_from, keep_reserved=keep)
        values = torch.frombuffer(bytearray(b"".join(output.pieces())), dtype=torch.float32)
        assert output.shape == (len(values), 1)
        return values.tolist()

    assert tile([8, 9, 1, 2, 3], 2, 2, 6, True) == [8, 9, 1, 2, 3, 1, 2, 3]
    assert tile([8, 9, 1, 2, 3], 2, 2, 7, True) == [8, 9, 1, 2, 3, 1, 2, 3, 1]
    assert tile([8, 9, 1, 2, 3], 2, 2, 3, False) == [0, 0, 1, 2, 3]
    assert tile([1, 2, 3], 0, 2, 4, False) == [0, 0, 1, 2, 3, 1]
    assert tile([1, 2, 3], 0, 1, 3, False) == [0, 1, 2, 3]
    assert tile([8, 9, 1, 2, 3], 2, 2, 8, True, tile_from=1) == [8, 9, 1, 2, 3, 2, 3, 2, 3, 2]
    assert tile([1, 2, 3], 0, 1, 6, False, tile_from=2) == [0, 1, 2, 3, 3, 3, 3]


def test_positions_that_leave_the_first_ones_to_the_question(tmp_path):
    """Equal to the source within its length, proven beyond it, said in the config, the report and the card."""
    source = make_checkpoint(tmp_path / "source", "xlm-roberta", positions=128)
    long = convert(str(source), tmp_path / "long", tile_from=32, **SMALL)
    model = check(source, long)
    assert model.config.tile_from == 32
    table = model.embeddings.position_embeddings.weight[model.config.pad_token_id + 1 :]
    assert torch.equal(table[128:224], table[32:128]) and torch.equal(table[224:], table[32:64])
    report = json.loads((long / "conversion_report.json").read_text())
    assert report["tile_from"] == 32 and report["proof"]["passed"]
    assert "--tile_from 32" in (long / "README.md").read_text()
    assert "--tile_from" not in (convert(str(source), tmp_path / "tiled", **SMALL) / "README.md").read_text()


def test_a_proof_knows_how_positions_were_repeated(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    long = convert(str(source), tmp_path / "long", tile_from=32, verify=False, **SMALL)
    edit_config(long, tile_from=31)
    with pytest.raises(VerificationError) as raised:
        verify(str(source), long)
    wrong = {check.name for check in raised.value.report.checks if not check.passed}
    assert wrong >= {"position rows", "hidden states"}
    edit_config(long, tile_from=128)
    with pytest.raises(UserError, match="tile_from 128 in the converted config"):
        verify(str(source), long)


def test_the_old_names_of_bert(tmp_path):
    """gamma and beta, a position_ids buffer, the pooler and both pre-training heads, as bert-base-cased has them."""
    source = make_checkpoint(tmp_path / "source", "bert", "ForPreTraining", positions=128)
    tensors = load_tensors(source)
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    assert any("gamma" in name for name in renamed)
    renamed["bert.embeddings.position_ids"] = torch.arange(128)[None]
    save_tensors(source, renamed)
    long = convert(str(source), tmp_path / "long", **SMALL)
    found = load_tensors(long)
    assert not any("gamma" in name or "beta" in name or "position_ids" in name for name in found)
    assert torch.equal(found["lm_head.layer_norm.weight"], tensors["cls.predictions.transform.LayerNorm.weight"])
    check(source, long)


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_encoder_with_and_without_its_prefix(tmp_path, model_type):
    source = make_checkpoint(tmp_path / "source", model_type, positions=128)
    tensors = load_tensors(source)
    assert not any(name.startswith(PREFIXES[model_type]) for name in tensors)
    bare = convert(str(source), tmp_path / "bare", **SMALL)
    save_tensors(source, {PREFIXES[model_type] + name: tensor for name, tensor in tensors.items()})
    prefixed = convert(str(source), tmp_path / "prefixed", **SMALL)
    assert (bare / "model.safetensors").read_bytes() == (prefixed / "model.safetensors").read_bytes()
    assert check(source, prefixed).pooler is not None


def test_pooler_is_kept_or_absent_as_in_the_source(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    tensors = load_tensors(source)
    long = convert(str(source), tmp_path / "with", **SMALL)
    assert torch.equal(load_tensors(long)["pooler.dense.weight"], tensors["pooler.dense.weight"])
    save_tensors(source, {name: tensor for name, tensor in tensors.items() if "pooler" not in name})
    long = convert(str(source), tmp_path / "without", **SMALL)
    assert not any("pooler" in name for name in load_tensors(long))
    check(source, long)


def test_bert_whose_tokenizer_pads_with_another_id(tmp_path):
    """As multilingual-e5-small: BERT's layout, XLM-R's tokenizer, config.pad_token_id 0."""
    tokenizer = make_tokenizer("xlm-roberta")
    source = make_checkpoint(tmp_path / "source", "bert", positions=128, tokenizer=tokenizer, pad_token_id=0)
    long = convert(str(source), tmp_path / "long", **SMALL)
    config = transformers.AutoConfig.from_pretrained(long)
    assert (config.pad_token_id, config.sep_token_id, config.max_position_embeddings) == (1, 2, 258)
    table = load_tensors(long)["embeddings.position_embeddings.weight"]
    original = load_tensors(source)["embeddings.position_embeddings.weight"]
    assert not table[:2].any()
    assert torch.equal(table[2:130], original) and torch.equal(table[130:], original)
    check(source, long)


def test_token_ids_are_the_tokenizers(tmp_path):
    source = make_checkpoint(tmp_path / "bert", "bert", positions=128)
    config = transformers.AutoConfig.from_pretrained(convert(str(source), tmp_path / "bert-long", **SMALL))
    assert (config.pad_token_id, config.sep_token_id) == (0, 3)
    assert config.max_position_embeddings == 257
    source = make_checkpoint(tmp_path / "camembert", "camembert", positions=128)
    config = transformers.AutoConfig.from_pretrained(convert(str(source), tmp_path / "camembert-long", **SMALL))
    assert (config.bos_token_id, config.pad_token_id, config.eos_token_id, config.sep_token_id) == (5, 1, 6, 6)


def test_sharded_safetensors(tmp_path):
    source = make_checkpoint(tmp_path / "source", "xlm-roberta", "ForMaskedLM", positions=128)
    whole = convert(str(source), tmp_path / "whole", **SMALL)
    model = transformers.AutoModelForMaskedLM.from_pretrained(source)
    (source / "model.safetensors").unlink()
    model.save_pretrained(source, max_shard_size="20KB")
    assert len(list(source.glob("model-*.safetensors"))) > 2
    sharded = convert(str(source), tmp_path / "sharded", **SMALL)
    assert (whole / "model.safetensors").read_bytes() == (sharded / "model.safetensors").read_bytes()


@pytest.mark.parametrize("zipped", [True, False])
def test_bin_files_are_read_as_tensors(tmp_path, zipped):
    source = make_checkpoint(tmp_path / "source", "roberta", "ForMaskedLM", positions=128)
    from_safetensors = convert(str(source), tmp_path / "a", **SMALL)
    state = transformers.AutoModelForMaskedLM.from_pretrained(source).state_dict()  # tied tensors share their storage
    assert "lm_head.decoder.weight" in state
    (source / "model.safetensors").unlink()
    torch.save(state, source / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    from_bin = convert(str(source), tmp_path / "b", **SMALL)
    assert (from_safetensors / "model.safetensors").read_bytes() == (from_bin / "model.safetensors").read_bytes()


def test_sharded_bin_files(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    whole = convert(str(source), tmp_path / "a", **SMALL)
    tensors = load_tensors(source)
    (source / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[:9], names[9:])):
        file = f"pytorch_model-0000{number + 1}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, source / file)
        weight_map |= dict.fromkeys(part, file)
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    sharded = convert(str(source), tmp_path / "b", **SMALL)
    assert (whole / "model.safetensors").read_bytes() == (sharded / "model.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype(tmp_path, dtype):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128)
    # The proof compares it with the source in that type.
    long = convert(str(source), tmp_path / "long", dtype=dtype, **SMALL)
    tensors, original = load_tensors(long), load_tensors(source)
    assert {tensor.dtype for tensor in tensors.values()} == {getattr(torch, dtype)}
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(tensors[name], original[name].to(getattr(torch, dtype)))
    assert transformers.AutoModel.from_pretrained(long).dtype == getattr(torch, dtype)


def test_half_precision_source_stays_as_it_is(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    save_tensors(source, {name: tensor.half() for name, tensor in load_tensors(source).items()})
    edit_config(source, dtype="float16")
    tensors = load_tensors(convert(str(source), tmp_path / "long", **SMALL))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_one_window_a_layer(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    long = convert(str(source), tmp_path / "long", max_pos=256, attention_window=[64, 128])
    assert transformers.AutoConfig.from_pretrained(long).attention_window == [64, 128]
    check(source, long, (5, 32))


def test_long_positions(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    long = convert(str(source), tmp_path / "long", max_pos=65_536, attention_window=128)
    table = load_tensors(long)["embeddings.position_embeddings.weight"]
    original = load_tensors(source)["embeddings.position_embeddings.weight"]
    assert table.shape == (65_538, 32)
    assert torch.equal(table[-128:], original[2:])
    assert transformers.AutoTokenizer.from_pretrained(long).model_max_length == 65_536


def test_every_field_of_the_config_is_the_sources(tmp_path):
    fields = {
        "hidden_dropout_prob": 0.21,
        "attention_probs_dropout_prob": 0.22,
        "initializer_range": 0.023,
        "layer_norm_eps": 3e-6,
        "type_vocab_size": 3,
        "hidden_act": "relu",
    }
    source = make_checkpoint(tmp_path / "source", "camembert", positions=128, **fields)
    config = transformers.AutoConfig.from_pretrained(convert(str(source), tmp_path / "long", **SMALL))
    for name, value in fields.items():
        assert getattr(config, name) == value
    assert config.vocab_size == transformers.AutoConfig.from_pretrained(source).vocab_size
    assert not hasattr(config, "is_decoder")


def test_tokenizer_that_cuts_by_itself_no_longer_does(tmp_path):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    path = source / "tokenizer.json"
    stored = json.loads(path.read_text())
    stored["truncation"] = {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(stored))
    long = convert(str(source), tmp_path / "long", **SMALL)
    assert json.loads((long / "tokenizer.json").read_text())["truncation"] is None


def test_same_source_same_bytes(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", positions=128)
    # Both folders have one name, since the card names it.
    first, second = (convert(str(source), tmp_path / name / "long", **SMALL) for name in ("a", "b"))
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


@pytest.mark.parametrize("alone", ["saved by safetensors", "head's name", "encoder's name"])
@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_shared_tensors_under_one_name(tmp_path, model_type, alone):
    """As `safetensors.torch.save_model` and accelerate's `save_model` store a tied masked-LM head."""
    from safetensors.torch import save_model

    source = make_checkpoint(tmp_path / "source", model_type, "ForMaskedLM", positions=128)
    whole = convert(str(source), tmp_path / "a", **SMALL)
    model = transformers.AutoModelForMaskedLM.from_pretrained(source)
    decoder = "cls.predictions.decoder" if model_type == "bert" else "lm_head.decoder"
    words = f"{PREFIXES[model_type]}embeddings.word_embeddings.weight"
    if alone == "saved by safetensors":
        save_model(model, source / "model.safetensors")
    else:
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        lost = (
            (words, decoder.replace("decoder", "bias"))
            if alone == "head's name"
            else (f"{decoder}.weight", f"{decoder}.bias")
        )
        save_tensors(source, {name: tensor for name, tensor in tensors.items() if name not in lost})
    again = convert(str(source), tmp_path / "b", **SMALL)
    assert (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"return_dict": False, "_attn_implementation": "flash_attention_2"},
        {"output_attentions": True, "output_hidden_states": True},
    ],
)
def test_settings_of_the_config_that_change_nothing_here(tmp_path, fields):
    """A tuple in place of named outputs, an attention that this machine may lack, outputs that nobody asked for."""
    source = make_checkpoint(tmp_path / "source", "bert", "ForQuestionAnswering", positions=128)
    edit_config(source, **fields)
    config = json.loads((convert(str(source), tmp_path / "long", **SMALL) / "config.json").read_text())
    assert not fields.keys() & {name for name, value in config.items() if value not in (False, None)}


def test_a_tokenizer_of_sentencepiece_alone(tmp_path):
    """As XLM-R's and CamemBERT's repositories have it: no tokenizer.json."""
    import sentencepiece

    source = make_checkpoint(tmp_path / "source", "xlm-roberta", positions=128)
    (source / "tokenizer.json").unlink()
    (tmp_path / "text").write_text("\n".join(TEXTS * 4))
    sentencepiece.SentencePieceTrainer.train(
        input=tmp_path / "text", model_prefix=tmp_path / "spm", vocab_size=260, character_coverage=1.0,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "spm.model").rename(source / "sentencepiece.bpe.model")
    long = convert(str(source), tmp_path / "long", **SMALL)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(source / "sentencepiece.bpe.model"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(long)
    for text in TEXTS:  # fairseq's ids: one more than sentencepiece's, with <s> before and </s> after
        assert tokenizer(text)["input_ids"] == [0, *(i + 1 if i else 3 for i in pieces.encode(text)), 2]


def test_what_is_not_carried_over_is_named(tmp_path, capsys):
    source = make_checkpoint(tmp_path / "source", "xlm-roberta", positions=128, classifier_dropout=0.3)
    edit_config(source, task_specific_params={"summary": 1})
    (source / "1_Adapter").mkdir()
    (source / "1_Adapter" / "weights.pt").write_bytes(b"x")
    (source / "no_answer.json").write_text("{}")
    (source / "README.md").write_text("a card")
    (source / "tf_model.h5").write_bytes(b"the same weights")
    long = convert(str(source), tmp_path / "long", **SMALL)
    said = capsys.readouterr().err
    assert "files of the source that are not carried over: 1_Adapter/, no_answer.json\n" in said
    assert "that Longformer has no place for: classifier_dropout, task_specific_params\n" in said
    assert len(json.loads((long / "conversion_report.json").read_text())["notes"]) == 3
    convert(str(make_checkpoint(tmp_path / "plain", "bert", positions=128)), tmp_path / "plain-long", **SMALL)
    assert capsys.readouterr().err.count("note:") == 1  # the note on one vector for a whole text
