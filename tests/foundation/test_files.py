"""A folder appears whole under its name or not at all, wherever the name points."""

import os

import pytest

from foundation.cli import UserError
from foundation.files import atomic_folder, check_apart, check_output_dir


def fill(target, text, **options):
    with atomic_folder(target, **options) as folder:
        (folder / "a").write_text(text)


def test_a_link_to_a_folder_gets_the_new_content_in_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fill(tmp_path / "link", "1")
    fill(tmp_path / "link", "2", replaces=["a"])
    assert (tmp_path / "real" / "a").read_text() == "2" and (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_the_current_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"'\.' is in use and cannot be replaced"):
        fill(".", "1")
    assert os.listdir(tmp_path) == []


def test_what_holds_the_current_folder_or_the_home_is_refused(tmp_path, monkeypatch):
    (tmp_path / "project" / "here").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to("disk")
    (tmp_path / "project" / "thesis.tex").write_text("years of work")
    monkeypatch.chdir(tmp_path / "project" / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for target in ("..", "../..", "~", "../../home", "../../disk"):
        with pytest.raises(UserError, match="is in use and cannot be replaced"):
            fill(target, "1", replaces=["**"])
    assert (tmp_path / "project" / "thesis.tex").read_text() == "years of work"


def test_the_source_is_not_replaced_by_what_is_made_from_it(tmp_path):
    fill(tmp_path / "runs" / "model", "weights")
    for target in ("runs/model", "runs", "runs/other/../model"):
        with pytest.raises(UserError, match=r"--output .* holds the source .*, which would be lost"):
            check_apart(tmp_path / target, tmp_path / "runs" / "model", "--output")
    check_apart(tmp_path / "runs" / "model" / "onnx", tmp_path / "runs" / "model")
    check_apart(tmp_path / "runs", "org/on-the-hub")


def test_a_failing_block_and_a_failing_rename_leave_what_was_there(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out", replaces=["a"]) as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    rename, calls = os.rename, []

    def failing(source, target):
        calls.append(source)
        if len(calls) == 2:  # the renaming of the new folder
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        fill(tmp_path / "out", "new", replaces=["a"])
    assert (tmp_path / "out" / "a").read_text() == "old" and os.listdir(tmp_path) == ["out"]


def test_the_advice_names_only_a_flag_that_there_is(tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(UserError, match=r"choose another folder, or add --overwrite_output_dir$"):
        check_output_dir(tmp_path / "out")
    with pytest.raises(UserError, match=r"choose another folder$"):
        check_output_dir(tmp_path / "out", replace_flag=None)


@pytest.mark.parametrize(
    ("there", "listed"),
    [
        (["a", "notes.txt"], r"\(notes\.txt\)"),
        (["a", "b/x/y", "b/z"], r"\(b/x/y\)"),
        ([".env"], r"\(\.env\)"),
        (["1", "2", "3", "4", "5"], r"\(1, 2, 3 and 2 more\)"),
    ],
)
def test_a_command_replaces_what_it_wrote_and_refuses_a_folder_that_holds_anything_else(tmp_path, there, listed):
    for name in there:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("old")
    with pytest.raises(UserError, match=rf"^--output_dir .* holds what this command did not write {listed}, which"):
        fill(tmp_path / "out", "new", replaces=["a", "b/*"])
    found = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(there)


def test_a_link_is_somebody_s_too(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"\(link\)"):
        fill(tmp_path / "out", "new", replaces=["a"])


def test_a_folder_with_our_names_but_without_our_mark_is_another_s(tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(UserError, match=r"was not written by this command \(it has no report\.json\)"):
        fill(tmp_path / "out", "new", replaces=["a", "report.json"], mark="report.json")
    (tmp_path / "out" / "report.json").touch()
    fill(tmp_path / "out", "new", replaces=["a", "report.json"], mark="report.json")
    assert os.listdir(tmp_path / "out") == ["a"]
