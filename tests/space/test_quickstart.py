"""What the quickstart shows of its commands. The whole of it runs in tests/test_readme.py."""

import sys

import pytest

from foundation.cli import UserError
from space.quickstart import Log, printed


@pytest.fixture
def python(monkeypatch):
    """The name under which the log finds this interpreter."""
    return sys.executable.rsplit("/", 1)[-1]


def test_a_command_is_quiet_and_its_result_told(tmp_path, capfd, python):
    log = Log(tmp_path / "out" / "logs")  # neither folder is there yet
    log.command(
        "say", f"{python} -c \"import sys; print('noise'); print('more', file=sys.stderr)\"", lambda: "well said"
    )
    out, err = capfd.readouterr()
    assert "$ python" in out and "well said, in " in out
    assert "noise\n" not in out and not err
    assert sorted(printed(tmp_path / "out" / "logs" / "1.txt")) == ["more", "noise"]
    assert log.lines[0].found == "well said" and log.lines[0].memory_mb > 1


def test_verbose_lets_everything_through(capfd, python):
    Log(None).command("say", f"{python} -c \"print('no' + 'ise')\"", lambda: "well said")
    assert "noise\n" in capfd.readouterr().out


def test_a_failed_command_shows_its_last_lines(tmp_path, capfd, python):
    code = "import sys; print('\\n'.join(map(str, range(99)))); sys.exit('the reason')"
    with pytest.raises(UserError, match=r"'say' ended with status 1: .*logs/1\.txt"):
        Log(tmp_path / "logs").command("say", f'{python} -c "{code}"', lambda: "never")
    err = capfd.readouterr().err
    assert "the reason" in err and "98" in err and "\n50\n" not in err


def test_of_a_progress_bar_the_last_state_counts(tmp_path):
    (tmp_path / "log").write_bytes("first\n 1%\r 50%\r100%\nsplit \xff\n".encode("latin-1"))
    assert printed(tmp_path / "log") == ["first", "100%", "split \ufffd"]
