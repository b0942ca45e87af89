"""How every command of this project ends: well, or with one sentence and exit status 2.

The library raises `UserError`, and the command line alone turns it, the Hub client's errors and the file
system's into prose. An exception that nobody foresaw keeps its traceback.

    if __name__ == "__main__":
        run(main)
"""

import argparse
import atexit
import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

USER_ERROR = 2


class UserError(ValueError):
    """A mistake that the user can mend: one sentence that names the argument, what was given, and what to do."""


def short_repr(value: object) -> str:
    """A value inside a sentence: its repr, cut at 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(error: object, limit: int = 200) -> str:
    """What an error says, inside a sentence: on one line, cut at `limit` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def command_parser(description: str, example: str) -> argparse.ArgumentParser:
    """The parser of a command: every flag shows its default, and the help ends in an example.

    Args:
        description: what the command does, in one sentence.
        example: a command line that works as it stands; its words up to the module or script are the command's name.
    """
    name = re.match(r"(?:\w+=\S+ )*(.*?(?:-m \S+|\S+\.py))(?= |$)", example)
    return argparse.ArgumentParser(
        prog=name and name[1],
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a description, and leave an example on its line: it is there to be copied."""
        return text if text.startswith("example:\n") else super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        """Add the default, where there can be one and the help does not say it itself."""
        known = action.required or "default" in (action.help or "")
        return action.help if known else super()._get_help_string(action)


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main()` and leave the process: 0, or 2 with one sentence on stderr, or 130 after Ctrl-C."""
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave(130)
    except Exception as error:
        if isinstance(error, subprocess.CalledProcessError) and error.returncode == USER_ERROR and error.stderr is None:
            _leave(USER_ERROR)  # a command of ours that this one called; it has said its sentence
        sentence = explain(error)
        if sentence is None or os.environ.get("DEBUG"):
            raise
        print(f"error: {sentence}", file=sys.stderr)
        _leave(USER_ERROR)
    _leave(0)


def _leave(status: int) -> NoReturn:
    """Leave the process; one of several goes without taking Python apart.

    gloo's threads may still hold a tensor of the last exchange. One that lets go of it while Python is taken apart
    aborts the process, and the launcher then calls a finished run a failure. PyTorch neither waits for these threads
    nor stops them, not even in destroy_process_group (its pull request 179291).
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        sys.exit(status)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def explain(error: Exception) -> str | None:
    """One sentence for an error that a user can mend, None for a defect of ours."""
    if isinstance(error, UserError):
        return str(error)
    return _explain_hub(error) or _explain_file_system(error)


def _explain_hub(error: Exception) -> str | None:
    from huggingface_hub import errors

    # The first match counts, so a class stands before its parent: GatedRepoError is a RepositoryNotFoundError.
    sentences: list[tuple[type[Exception], str]] = [
        (errors.GatedRepoError, "{where} is gated: accept its terms on the Hub and log in with `hf auth login`"),
        (
            errors.RepositoryNotFoundError,
            "{where} does not exist, or is private and this login may not see it: check the id, or run `hf auth login`",
        ),
        (errors.RevisionNotFoundError, "{where} has no such revision: check --revision"),
        (errors.RemoteEntryNotFoundError, "{where} has no such file"),
        (errors.LocalTokenNotFoundError, "no login was found: run `hf auth login`, or set HF_TOKEN"),
        (errors.OfflineModeIsEnabled, "the Hub is switched off by HF_HUB_OFFLINE: unset it, or give a local folder"),
        (
            errors.LocalEntryNotFoundError,
            "the Hub cannot be reached and the file is not in the cache: check the connection, or give a local folder",
        ),
        (errors.HFValidationError, "not a Hub id and not a local folder: {error}"),
        (errors.HfHubHTTPError, "the Hub refused the request: {error}"),
        (errors.HTTPError, "the Hub cannot be reached ({error}): check the connection and HF_ENDPOINT"),
    ]
    # The client's transport for large files raises Python's own errors, without an errno.
    if type(error) in (ConnectionError, TimeoutError) and error.errno is None:  # type: ignore[attr-defined]
        return f"the Hub cannot be reached ({one_line(error)}): check the connection and HF_ENDPOINT"
    for kind, sentence in sentences:
        if isinstance(error, kind):
            return sentence.format(where=_address(error), error=one_line(error))
    return None


def _address(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.url) if response is not None else "the repository"


def _explain_file_system(error: Exception) -> str | None:
    if not isinstance(error, OSError):
        return None
    name = error.filename or "the output"
    sentences = {
        errno.ENOSPC: f"the disk is full while writing {name}: free space and run the same command again",
        errno.EDQUOT: f"the disk quota is used up while writing {name}: free space and run the same command again",
        errno.EACCES: f"no permission for {name}: choose another folder, or change its owner",
        errno.EPERM: f"no permission for {name}: choose another folder, or change its owner",
        errno.EROFS: f"{name} lies on a read-only disk: choose another folder",
        errno.ENOENT: f"{name} does not exist: check the path",
        errno.ENOTDIR: f"{name} is not a folder: check the path",
    }
    return sentences.get(error.errno or 0)
