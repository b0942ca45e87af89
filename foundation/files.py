"""Files as every room reads and writes them.

A write is either whole or absent: into a temporary neighbour of the target, then renamed.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .cli import UserError


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path with forward slashes is one of `patterns`: part by part by the shell's rules, so that `*` is of
    one folder; `**` at the end of a pattern is all that lies below."""
    parts = path.split("/")
    for pattern in patterns:
        names = pattern.split("/")
        below = names[-1] == "**"
        names = names[:-1] if below else names
        if (len(parts) > len(names) if below else len(parts) == len(names)) and all(map(fnmatchcase, parts, names)):
            return True
    return False


def check_output_dir(
    target: str | Path,
    replaces: Iterable[str] | None = None,
    argument: str = "--output_dir",
    replace_flag: str | None = "--overwrite_output_dir",
    mark: str | None = None,
) -> Path:
    """Refuse an output folder that holds something, or with `replaces` something else; returns it as a Path.

    Args:
        replaces: patterns (see `matches`) of what the command writes, and so may replace; None: nothing.
        replace_flag: the flag that sets `replaces`, for the advice.
        mark: a file that the command writes every time: a folder without it is another's, whatever its names.
    """
    target = Path(target).expanduser()
    if target.exists() and not target.is_dir():
        raise UserError(f"{argument} {str(target)!r} is a file: give a folder that does not exist yet")
    if not target.is_dir() or not any(target.iterdir()):
        return target
    if replaces is None:
        advice = f", or add {replace_flag}" if replace_flag else ""
        raise UserError(f"{argument} {str(target)!r} exists and is not empty: choose another folder{advice}")
    if others := _others(target, tuple(replaces)):
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise UserError(
            f"{argument} {str(target)!r} holds what this command did not write ({', '.join(others[:3])}{more}), which "
            "would be lost: choose another folder, or move that elsewhere"
        )
    if mark and not (target / mark).exists():
        raise UserError(
            f"{argument} {str(target)!r} was not written by this command (it has no {mark}) and would be lost: choose "
            "another folder"
        )
    return target


def _others(folder: Path, names: tuple[str, ...]) -> list[str]:
    """Files that `names` do not have, hidden ones too."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    relative = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [path for path in relative if not matches(path, names)]


def check_apart(target: str | Path, source: str | Path, argument: str = "--output_dir") -> None:
    """Refuse an output folder that is, or holds, what the output is made from: replacing it would delete the source."""
    target, source = Path(target).expanduser(), Path(source).expanduser()
    if source.exists() and source.resolve().is_relative_to(target.resolve()):
        raise UserError(
            f"{argument} {str(target)!r} holds the source {str(source)!r}, which would be lost: choose another"
        )


@contextlib.contextmanager
def atomic_folder(
    target: str | Path,
    replaces: Iterable[str] | None = None,
    argument: str = "--output_dir",
    replace_flag: str | None = "--overwrite_output_dir",
    mark: str | None = None,
) -> Iterator[Path]:
    """Yield an empty folder beside `target` and rename it to `target` when the block ends well.

    A block that raises, or a process that is killed, leaves `target` as it was. With `replaces` (as for
    `check_output_dir`) the old folder is moved aside first and removed last, so that at every moment the name holds the
    old content, nothing, or the new.
    """
    given = check_output_dir(target, replaces, argument, replace_flag, mark)
    target = given.resolve()  # os.rename cannot replace a link to a folder
    if target.is_mount() or any(
        place.is_relative_to(target) for place in (Path.cwd(), Path("~").expanduser().resolve())
    ):
        raise UserError(f"{argument} {str(given)!r} is in use and cannot be replaced: give a folder inside it")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        yield work
        work.chmod(0o777 & ~_umask())
        _replace(target, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replace(target: Path, work: Path) -> None:
    """Give `work` the name `target`; what bore it before is back there if that fails, and gone if not."""
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        os.rename(target, old)  # this replaces `old`, since an empty folder may be replaced
    try:
        os.rename(work, target)
    except OSError:
        if old is not None:
            os.rename(old, target)
        raise
    if old is not None:
        shutil.rmtree(old)


def write_atomically(target: str | Path, content: str | bytes) -> Path:
    """Write one file so that a reader sees the old content or the new, never a part."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def read_json(path: str | Path, argument: str, kind: type | None = None) -> Any:
    """The content of a JSON file, with or without a byte-order mark.

    Args:
        argument: what a sentence calls the file by: the flag that named it, or the folder's argument.
        kind: `dict` or `list`, where the file must hold an object or an array.

    Raises:
        UserError: the file is absent, not UTF-8, not JSON, or holds something else than `kind`.
    """
    path = Path(path)
    where = f"{argument} {str(path)!r}"
    if not path.is_file():
        raise UserError(f"{where} is not a file: check the path")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON ({error.msg}, line {error.lineno}, column {error.colno}): is it cut off?"
        ) from error
    if kind is not None and not isinstance(content, kind):
        expected = "an object" if kind is dict else "an array"
        raise UserError(f"{where} holds a {type(content).__name__}, {expected} was expected: is it the right file?")
    return content


def file_hash(path: str | Path) -> str:
    """SHA-256 of what a file holds, read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
