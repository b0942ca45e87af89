"""A teacher's right answers are matched: the loss by its definition, what is refused, and a training with one."""

import json
from types import SimpleNamespace

import pytest
import torch

from foundation.cli import UserError
from tests.training.launch import run, succeed
from training.finetuning.batches import IGNORED
from training.finetuning.teacher import disagreement, load_teacher
from training.qa.model import load_qa_model
from training.qa.windows import Windower, collate

from . import qa_tiny
from .test_finetune import SCRIPT, flags

ALLOWED = torch.tensor([[1, 0, 0, 1, 1, 1, 1, 0], [1, 0, 1, 1, 1, 0, 0, 0]], dtype=torch.bool)
STARTS, ENDS = torch.tensor([[4, 5], [0, IGNORED]]), torch.tensor([[4, 6], [0, IGNORED]])


class Says:
    """A teacher of given logits that reads once."""

    config = SimpleNamespace()

    def __init__(self, starts, ends):
        self.output = SimpleNamespace(start_logits=starts, end_logits=ends)

    def to(self, device):
        return self

    def __call__(self, **batch):
        return self.output


def outputs(seed, likeliest=None):
    """Random logits; `likeliest` is each window's likeliest start and end."""
    torch.manual_seed(seed)
    starts, ends = torch.randn(2, 2, 8)
    for row, (start, end) in enumerate(likeliest or ()):
        starts[row, start], ends[row, end] = 5, 5
    return starts, ends


def kl(teacher, pupil, tokens):
    """By torch, over some tokens of one window."""
    p, q = teacher[tokens].softmax(0), pupil[tokens].log_softmax(0)
    return torch.nn.functional.kl_div(q, p, reduction="sum").item()


def test_it_is_the_divergence_where_the_teacher_is_right():
    theirs, ours = outputs(0, [(5, 4), (0, 0)]), outputs(1)
    theirs[0][0, 1] = theirs[1][1, 7] = 99  # where no answer can be
    found = disagreement(Says(*theirs), {}, SimpleNamespace(start_logits=ours[0], end_logits=ours[1]),
                         STARTS, ENDS, ALLOWED)  # fmt: skip
    expected = [kl(t[row], o[row], ALLOWED[row]) for t, o in zip(theirs, ours, strict=True) for row in range(2)]
    assert found.item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    wrong = outputs(0, [(3, 4), (0, 3)])  # the first window's start is no gold one, nor the second one's end
    found = disagreement(Says(*wrong), {}, SimpleNamespace(start_logits=ours[0], end_logits=ours[1]),
                         STARTS, ENDS, ALLOWED)  # fmt: skip
    right = kl(wrong[1][0], ours[1][0], ALLOWED[0]) + kl(wrong[0][1], ours[0][1], ALLOWED[1])
    assert found.item() == pytest.approx(right / 4, rel=1e-5)


def test_of_what_the_pupil_has_not_read_nothing_is_taught():
    theirs, ours = outputs(0, [(5, 4), (0, 0)]), outputs(1)
    read = ALLOWED.clone()
    read[0, [3, 6]] = False
    pupil = [each.masked_fill(~read, float("-inf")).requires_grad_() for each in ours]
    found = disagreement(Says(*theirs), {}, SimpleNamespace(start_logits=pupil[0], end_logits=pupil[1]),
                         STARTS, ENDS, ALLOWED)  # fmt: skip
    expected = [kl(t[row], o[row], read[row]) for t, o in zip(theirs, ours, strict=True) for row in range(2)]
    assert found.item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    found.backward()
    assert all(each.grad.isfinite().all() and each.grad[0, 4] != 0 and each.grad[0, 3] == 0 for each in pupil)


def test_one_s_own_reading_is_no_disagreement():
    theirs = outputs(0, [(5, 4), (0, 0)])
    same = SimpleNamespace(start_logits=theirs[0], end_logits=theirs[1])
    assert disagreement(Says(*theirs), {}, same, STARTS, ENDS, ALLOWED).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    return qa_tiny.checkpoint(folder / "model"), qa_tiny.squad_file(folder / "squad.json")


def test_the_disagreement_can_be_learned_away(material):
    checkpoint, _ = material
    pupil, tokenizer = load_qa_model(str(checkpoint))
    teacher = load_teacher(str(checkpoint), pupil, tokenizer)
    torch.nn.init.normal_(pupil.qa_outputs.weight)
    windower = Windower(tokenizer, 48, 8)
    documents = [windower.document(row["context"]) for row in qa_tiny.rows()[:4]]
    windows = [next(windower.windows("runs over?", document)) for document in documents]
    batch = collate(windows, pupil.config, tokenizer.pad_token_id)
    allowed = batch["attention_mask"] > 0
    with torch.no_grad():
        read = teacher(**batch)
    golds = [each.masked_fill(~allowed, -torch.inf).argmax(1, keepdim=True)
             for each in (read.start_logits, read.end_logits)]  # fmt: skip
    optimizer = torch.optim.Adam(pupil.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        error = disagreement(teacher, batch, pupil(**batch), *golds, allowed)
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(error.item())
    assert 0 <= errors[-1] < errors[0] / 4


def test_a_training_adds_it_to_its_loss(material, tmp_path):
    checkpoint, data = material
    teacher = tmp_path / "teacher"
    succeed(SCRIPT, flags(checkpoint, data, teacher, do_train=True, num_train_epochs=15, save_strategy="no"))
    firsts = {}
    for weight in (0.0, 3.0):
        output = tmp_path / f"pupil-{weight}"
        more = {"do_train": True, "save_strategy": "no", "dropout": 0.0}
        succeed(SCRIPT, flags(checkpoint, data, output, teacher=teacher, teacher_weight=weight, **more))
        log = json.loads((output / "trainer_state.json").read_text())["log_history"]
        assert sum("teacher_error" in entry for entry in log) == log[-1]["step"]
        firsts[weight] = log[0]
    error = firsts[0.0]["teacher_error"]
    assert error > 0.1 and firsts[3.0]["teacher_error"] == pytest.approx(error, rel=1e-3)
    assert firsts[3.0]["loss"] - firsts[0.0]["loss"] == pytest.approx(3 * error, rel=1e-2)


def test_a_teacher_that_cannot_read_the_same_windows_is_refused(material, tmp_path):
    checkpoint, data = material
    pupil, tokenizer = load_qa_model(str(checkpoint))
    teacher = load_teacher(str(checkpoint), pupil, tokenizer)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    bert = qa_tiny.checkpoint(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match=r"--teacher '.*bert' is of type bert, and the model that is trained of longf"):
        load_teacher(str(bert), pupil, tokenizer)
    tokenizer.add_tokens(["älvarna"])
    with pytest.raises(UserError, match="has another vocabulary than the model that is trained"):
        load_teacher(str(checkpoint), pupil, tokenizer)
    missing = run(SCRIPT, flags(checkpoint, data, tmp_path / "out", do_train=True, teacher=tmp_path / "nowhere"))
    assert missing.returncode == 2 and "nowhere" in missing.stderr.splitlines()[-1]
    kept = tmp_path / "kept"
    succeed(SCRIPT, flags(checkpoint, data, kept, do_train=True, max_steps=1, save_strategy="no"))
    more = {"do_train": True, "teacher": kept, "overwrite_output_dir": True}
    lost = run(SCRIPT, flags(checkpoint, data, kept, **more))
    assert lost.returncode == 2 and f"holds --teacher '{kept}' or its base, which would be lost" in lost.stderr
    weight = run(SCRIPT, flags(checkpoint, data, tmp_path / "out", do_train=True, teacher_weight=2.0))
    assert weight.returncode == 2 and "--teacher_weight 2.0 is of a teacher: give --teacher too" in weight.stderr
