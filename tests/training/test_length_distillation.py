"""The short reading as a teacher: against windows read one by one, and in a real run."""

import json

import pytest
import torch
from safetensors.torch import load_file

from foundation.cli import UserError
from tests.training.launch import succeed
from training.finetuning.distillation import ShortReader
from training.qa.windows import Document, Window, Windower, collate

from . import qa_tiny
from .test_finetune import flags

SHORT = 32


@pytest.fixture(scope="module")
def model():
    tokenizer = qa_tiny.tokenizer()
    return qa_tiny.model("longformer", len(tokenizer)).eval()


def sequence(length: int, prefix: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens,) ids of a prefix, `length` document tokens, a last token and two of padding; the document's mask."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(5, 200, (prefix + length + 1,), generator=generator)
    document = torch.zeros(len(ids) + 2, dtype=torch.bool)
    document[prefix : prefix + length] = True
    return torch.cat([ids, torch.tensor([1, 1])]), document


def read(model, ids: torch.Tensor, prefix: int) -> torch.Tensor:
    batch = collate([Window(ids.numpy(), prefix, 0, len(ids) - prefix - 1)], model.config, 1)
    with torch.no_grad():
        return model.longformer(**batch).last_hidden_state[0]


def test_a_document_that_fits_is_read_as_the_model_reads_it(model):
    ids, document = sequence(20)
    expected = read(model, ids[:-2], 5)[5:25]
    assert torch.allclose(ShortReader(model, 1, SHORT).hidden_states(ids, document, document), expected, atol=1e-5)


@pytest.mark.parametrize("length", [27, 44, 45, 58, 90])
def test_each_token_comes_from_the_window_where_it_is_most_central(model, length):
    ids, document = sequence(length)
    found = ShortReader(model, 1, SHORT).hidden_states(ids, document, document)
    assert found.shape == (length, 32)
    text, room, shared = ids[5 : 5 + length], SHORT - 6, SHORT // 4
    tokenizer_windows = Windower(qa_tiny.tokenizer(), SHORT, shared)
    count = sum(
        1 for _ in tokenizer_windows.windows("over", Document("", text.numpy(), torch.zeros(length, 2).numpy()))
    )
    states: dict[int, list[tuple[int, torch.Tensor]]] = {token: [] for token in range(length)}
    for number in range(count):
        first = number * (room - shared)
        part = text[first : first + room]
        hidden = read(model, torch.cat([ids[:5], part, ids[5 + length : 6 + length]]), 5)[5:-1]
        for place, state in enumerate(hidden):
            left = place if first else 999
            right = len(part) - 1 - place if first + len(part) < length else 999
            states[first + place].append((min(left, right), state))
    for token, candidates in states.items():
        nearest = max(distance for distance, _ in candidates)
        # In the middle between two windows either may be taken.
        best = [state for distance, state in candidates if distance >= nearest - 1]
        assert any(torch.allclose(found[token], state, atol=1e-5) for state in best), token


def test_a_part_is_read_with_nothing_around_it(model):
    ids, document = sequence(60)
    part = torch.zeros_like(document)
    part[25:45] = True
    alone = torch.cat([ids[:5], ids[25:45], ids[65:66]])
    found = ShortReader(model, 1, SHORT).hidden_states(ids, document, part)
    assert torch.allclose(found, read(model, alone, 5)[5:25], atol=1e-5)


def test_error_is_zero_in_the_old_length_and_its_gradient_spares_the_teacher(model):
    reader = ShortReader(model, 1, SHORT)
    for length, far in ((20, False), (50, True)):
        ids, document = sequence(length)
        batch = collate([Window(ids[:-2].numpy(), 5, 0, length)], model.config, 1)
        hidden = model.longformer(**batch).last_hidden_state
        padded = torch.cat([hidden, torch.zeros(1, 2, 32)], dim=1)
        error = reader.error(ids[None], padded, document[None], document[None])
        assert (error > 1e-3) == far
        error.backward()
    assert model.longformer.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in reader.encoder.parameters())
    model.zero_grad()


def test_no_document_is_no_error(model):
    ids, document = sequence(20)
    hidden = torch.ones(1, len(ids), 32, requires_grad=True)
    nothing = torch.zeros_like(document)[None]
    assert ShortReader(model, 1, SHORT).error(ids[None], hidden, document[None], nothing).item() == 0


def test_windows_too_short_for_the_question_are_refused(model):
    ids, document = sequence(20, prefix=25)
    with pytest.raises(UserError, match="--distil_length 32 leaves 6 document tokens"):
        ShortReader(model, 1, SHORT).hidden_states(ids, document, document)


def test_the_error_can_be_learnt_away():
    model = qa_tiny.model("longformer", len(qa_tiny.tokenizer())).eval()
    reader = ShortReader(model, 1, SHORT)
    ids, document = sequence(50)
    batch = collate([Window(ids[:-2].numpy(), 5, 0, 50)], model.config, 1)
    optimizer = torch.optim.Adam(model.longformer.encoder.parameters(), lr=3e-3)
    errors = []
    for _ in range(80):
        hidden = model.longformer(**batch).last_hidden_state
        error = reader.error(ids[None, :-2], hidden, document[None, :-2], document[None, :-2])
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(error.item())
    assert errors[-1] < errors[0] / 2


@pytest.mark.parametrize("part", ["paragraph", "document"])
def test_an_adapter_is_trained_further(tmp_path, part):
    checkpoint, data = qa_tiny.checkpoint(tmp_path / "model"), qa_tiny.squad_file(tmp_path / "squad.json")
    more = {"do_train": True, "save_strategy": "no", "max_length": 64}
    first, second = tmp_path / "first", tmp_path / "second"
    succeed("training/finetune.py", flags(checkpoint, data, first, lora_r=2, **more))
    more |= {"long_fraction": 1.0, "max_paragraphs": 3, "distil_length": 32, "distil_part": part}
    succeed("training/finetune.py", flags(first, data, second, **more))
    log = json.loads((second / "trainer_state.json").read_text())["log_history"]
    errors = [entry["distil_error"] for entry in log if "distil_error" in entry]
    assert len(errors) == log[-1]["step"] and all(0 <= error < 3 for error in errors)
    # An error is 0 where no answer's paragraph is whole in a window.
    assert sum(error == 0 for error in errors) < len(errors) / 2
    config = json.loads((second / "adapter_config.json").read_text())
    assert config["r"] == 2 and config["base_model_name_or_path"] == str(checkpoint)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before if "global" not in name)
