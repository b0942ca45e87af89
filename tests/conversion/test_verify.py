"""The proof passes on what `convert` writes and fails, loudly, on each planted fault."""

import json
import subprocess
import sys

import pytest
import torch
import transformers

from conversion.convert import convert
from conversion.report import VerificationError
from conversion.verify import verify

from .checkpoints import edit_config, load_tensors, make_checkpoint, make_tokenizer, save_tensors

SMALL = {"max_pos": 256, "attention_window": 64}
ATTENTION = "longformer.encoder.layer.1.attention.self."


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A source with a QA head and its conversion."""
    folder = tmp_path_factory.mktemp("pair")
    source = make_checkpoint(folder / "source", "xlm-roberta", "ForQuestionAnswering", positions=128)
    return source, convert(str(source), folder / "long", **SMALL)


@pytest.fixture
def broken(pair, tmp_path):
    """Takes an edit of the converted tensors; gives source and the edited copy."""
    source, long = pair

    def make(edit=None, config=None):
        tensors = load_tensors(long)
        if edit:
            edit(tensors)
        for file in long.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        save_tensors(tmp_path, tensors)
        edit_config(tmp_path, **(config or {}))
        return source, tmp_path

    return make


def failed(source, long):
    with pytest.raises(VerificationError) as caught:
        verify(source, long)
    return {check.name for check in caught.value.report.checks if not check.passed}


def swap(tensors, a, b):
    tensors[a], tensors[b] = tensors[b], tensors[a]


def test_an_honest_conversion_passes(pair):
    report = verify(*pair)
    assert report.passed
    assert report.largest_difference < 1e-5
    names = [check.name for check in report.checks]
    for name in ("position rows", "global projections", "tokenizer", "hidden states", "start_logits", "end_logits"):
        assert name in names
    assert "wrapped" in report.table()


def test_the_proof_of_a_long_source_takes_no_more_than_a_short_ones(tmp_path):
    """8,192 positions and windows as wide: what a run takes grows with their square."""
    from conversion.comparison import LONGEST_RUN, plan_runs
    from conversion.source import open_source

    source = make_checkpoint(tmp_path / "source", "xlm-roberta", positions=8192, num_hidden_layers=1)
    config = transformers.LongformerConfig(
        vocab_size=300, max_position_embeddings=8194, pad_token_id=1, attention_window=[8192]
    )
    runs = plan_runs(open_source(str(source)), config, False, False)
    assert max(run.converted["input_ids"].shape[1] for run in runs) == LONGEST_RUN
    assert all(run.window and run.window <= 2 * LONGEST_RUN for run in runs)
    titles = [run.title for run in runs]
    assert "5 to 1024 tokens, padded, window 2,048" in titles
    assert "1024 tokens at the last of 8,192 positions, window widened" in titles
    long = convert(str(source), tmp_path / "long", max_pos=8192, attention_window=512)
    tensors = load_tensors(long)
    tensors["embeddings.position_embeddings.weight"][-1].neg_()
    save_tensors(long, tensors)
    assert failed(source, long) == {"position rows", "hidden states", "pooler_output"}


def test_an_unchanged_copy_passes(broken):
    assert verify(*broken()).passed


def test_swapped_query_and_key(broken):
    def edit(tensors):
        for suffix in ("", "_global"):  # the global ones too, so that only the outputs show it
            for kind in ("weight", "bias"):
                swap(tensors, f"{ATTENTION}query{suffix}.{kind}", f"{ATTENTION}key{suffix}.{kind}")

    assert failed(*broken(edit)) == {"hidden states", "start_logits", "end_logits"}


def test_shifted_position_rows(broken):
    def edit(tensors):
        table = tensors["longformer.embeddings.position_embeddings.weight"]
        table[2:] = table[2:].roll(1, dims=0)

    assert "position rows" in failed(*broken(edit))


def test_one_wrong_word_row_that_no_input_meets(broken):
    def edit(tensors):
        tensors["longformer.embeddings.word_embeddings.weight"][0] += 1e-3

    assert "word rows" in failed(*broken(edit))


def test_a_lost_pooler(tmp_path):
    source = make_checkpoint(tmp_path / "source", "bert", "Model", positions=128)
    long = convert(str(source), tmp_path / "long", **SMALL)
    tensors = load_tensors(long)
    assert verify(source, long).passed and any(name.startswith("pooler.") for name in tensors)
    save_tensors(long, {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")})
    assert failed(source, long) == {"loads by its Auto class"}


def test_the_report_of_a_failed_proof_is_written(broken, tmp_path):
    source, long = broken(lambda tensors: tensors["longformer.embeddings.word_embeddings.weight"].neg_())
    command = [sys.executable, "-m", "conversion.verify", str(source), str(long), "--output", str(tmp_path / "r.json")]
    assert subprocess.run(command, capture_output=True).returncode == 2
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is False


def test_one_wrong_position_row_far_out(broken):
    def edit(tensors):
        tensors["longformer.embeddings.position_embeddings.weight"][201] += 1e-3

    assert failed(*broken(edit)) == {"position rows"}


def test_global_projections_that_were_aliased_are_missing_from_the_file(pair, tmp_path):
    """What saving a model whose `query_global` is its `query` leaves behind."""
    source, long = pair
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(long)
    attention = model.longformer.encoder.layer[1].attention.self
    attention.query_global = attention.query
    state = {
        name: tensor for name, tensor in model.state_dict().items() if "layer.1.attention.self.query_global" not in name
    }
    for file in long.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_tensors(tmp_path, state)
    assert {"global projections", "loads by its Auto class"} <= failed(source, tmp_path)


def test_global_projection_of_the_wrong_kind(broken):
    def edit(tensors):
        swap(tensors, f"{ATTENTION}query_global.weight", f"{ATTENTION}key_global.weight")

    assert "global projections" in failed(*broken(edit))


@pytest.mark.parametrize(
    "name",
    [
        f"{ATTENTION}value.bias",
        "longformer.encoder.layer.0.output.LayerNorm.bias",
        "longformer.embeddings.LayerNorm.bias",
        "qa_outputs.bias",
    ],
)
def test_lost_bias(broken, name):
    def edit(tensors):
        tensors[name] = torch.zeros_like(tensors[name])

    caught = failed(*broken(edit))
    assert caught and ("start_logits" in caught or "hidden states" in caught)


def test_swapped_layers(broken):
    def edit(tensors):
        for name in [name for name in tensors if ".layer.0." in name]:
            swap(tensors, name, name.replace(".layer.0.", ".layer.1."))

    assert "hidden states" in failed(*broken(edit))


def test_longformers_default_epsilon(broken):
    assert "hidden states" in failed(*broken(config={"layer_norm_eps": 1e-2}))


def test_wrong_pad_id(broken):
    assert "position rows" in failed(*broken(config={"pad_token_id": 0}))


def test_foreign_tokenizer(pair, broken):
    source, long = broken()
    other = make_tokenizer("camembert")
    other.model_max_length = 256
    other.save_pretrained(long)
    assert "tokenizer" in failed(source, long)


def test_tokenizer_that_still_says_128(pair, broken):
    source, long = broken()
    tokenizer = transformers.AutoTokenizer.from_pretrained(long)
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(long)
    assert failed(source, long) == {"tokenizer"}


def test_nan_is_a_failure(broken):
    def edit(tensors):
        tensors[f"{ATTENTION}value.weight"][0, 0] = float("nan")

    assert "hidden states" in failed(*broken(edit))


def test_a_failed_proof_leaves_nothing_behind(tmp_path, monkeypatch):
    source = make_checkpoint(tmp_path / "source", "roberta", positions=128)
    from conversion import plan

    def shifted(*arguments, **keywords):
        output = tile(*arguments, **keywords)
        return type(output)(output.dtype, output.shape, lambda: [bytes(output.nbytes)])

    tile = plan.tile_positions
    monkeypatch.setattr(plan, "tile_positions", shifted)
    with pytest.raises(VerificationError, match="position rows"):
        convert(str(source), tmp_path / "long", **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_command_line(pair, broken, tmp_path):
    source, long = pair
    command = [sys.executable, "-m", "conversion.verify", str(source)]
    good = subprocess.run([*command, str(long), "--output", str(tmp_path / "r.json")], capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert "hidden states" in good.stdout
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is True

    def edit(tensors):
        tensors["qa_outputs.bias"] += 1

    bad = subprocess.run([*command, str(broken(edit)[1])], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "FAILED" in bad.stdout
    assert bad.stderr.splitlines()[-1].startswith("error: the proof failed in")
