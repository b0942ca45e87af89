"""One folder to one Hub repository by one atomic commit, safe to repeat and read back.

`upload_folder` may make several commits, and the Hub's client repeats neither the commit nor the calls around it: a
connection that breaks after the Hub has handled the commit leaves the caller to guess. Here every attempt first asks
what the branch holds, commits only what differs, and names the parent that it saw; so an attempt whose answer was lost
shows itself done, and a commit of somebody else in between is never overwritten unseen.
"""

import fnmatch
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .cli import UserError, explain, one_line

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds, doubled from attempt to attempt
STALL_SECONDS = 120.0  # without a byte, after which a request counts as lost; the client by itself waits for ever
TRANSIENT = (408, 412, 425, 429, 500, 502, 503, 504)  # 412: the branch moved, so look again

_NOT_PUSHED = {".git", ".cache", "__pycache__", ".ipynb_checkpoints"}

T = TypeVar("T")


def push_folder(
    folder: str | Path,
    repo_id: str,
    repo_type: str,
    *,
    private: bool | None,
    message: str,
    delete_patterns: Sequence[str] | None = None,
    revision: str | None = None,
    space_sdk: str = "gradio",
) -> str | None:
    """Make the files of `folder` those of a Hub repository, which is created when it does not exist.

    Args:
        repo_type: "model", "dataset" or "space".
        private: of a repository that is created; one that exists keeps its visibility.
        message: the commit's title.
        delete_patterns: what goes from the repository when the folder does not have it (shell patterns, "*" for all).
        revision: branch, `main` by default; one that does not exist starts without files.
        space_sdk: of a Space that is created.

    Returns:
        The commit's address, or None when the repository held the same already.

    Raises:
        UserError: one sentence, when the Hub refuses or does not answer; the folder stays, the branch is as it was.
    """
    from huggingface_hub import HfApi, errors, get_token

    folder = Path(folder)
    files = _local_files(folder)
    if not files:
        raise UserError(f"folder {str(folder)!r} holds no file to push: build it first")
    if get_token() is None:
        raise UserError("no login was found: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    where: dict[str, Any] = {"repo_id": repo_id, "repo_type": repo_type}
    branch = revision or "main"
    try:
        sdk = space_sdk if repo_type == "space" else None
        retry(lambda: api.create_repo(**where, private=private, exist_ok=True, space_sdk=sdk))
        if branch != "main":
            _ensure_branch(api, where, branch)
        url = retry(_Commit(api, where, branch, files, delete_patterns or (), message))
        changed, stale = retry(lambda: _difference(api, where, branch, files, delete_patterns or ()))
    except (errors.HTTPError, ValueError, ConnectionError, TimeoutError, PermissionError) as error:
        # The last three come from the client's transport for large files, which has repeated what it could by itself.
        reason = explain(error) or one_line(error)
        raise UserError(
            f"{repo_id} was not pushed: {reason}; {folder} is kept, the same command tries again"
        ) from error
    if changed or stale:
        raise UserError(
            f"{repo_id} does not read back as {folder}: {', '.join([*changed, *stale])} differ, "
            "somebody else may have pushed at the same time: run the same command again"
        )
    return url


def retry(call: Callable[[], T]) -> T:
    """`call()`, again after a wait when the Hub did not answer or asked for patience. The last error is raised."""
    from huggingface_hub import errors, get_session

    for attempt in range(ATTEMPTS):
        hooks = get_session().event_hooks["request"]
        if _limit_patience not in hooks:
            hooks.append(_limit_patience)
        try:
            return call()
        except (errors.HTTPError, RuntimeError) as raised:
            # The client wraps what happens to a large file in a RuntimeError.
            error = raised.__cause__ if type(raised) is RuntimeError else raised
            if not isinstance(error, errors.HTTPError):
                raise
            response = getattr(error, "response", None)
            if attempt + 1 == ATTEMPTS or (response is not None and response.status_code not in TRANSIENT):
                raise error from raised.__cause__
            asked = response.headers.get("Retry-After", "") if response is not None else ""
            time.sleep(float(asked) if asked.isdigit() else FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable")


def _limit_patience(request: Any) -> None:
    # A hook rather than the session's own limit: listing calls ask for no limit in so many words.
    limits = request.extensions.get("timeout", {})
    if all(limit is None for limit in limits.values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), STALL_SECONDS)


class _Commit:
    """One attempt a call; remembers whether an earlier attempt may have been taken without our hearing of it."""

    def __init__(
        self,
        api: Any,
        where: dict[str, Any],
        branch: str,
        files: dict[str, Path],
        delete_patterns: Sequence[str],
        message: str,
    ) -> None:
        self.api, self.where, self.branch = api, where, branch
        self.files, self.delete_patterns, self.message = files, delete_patterns, message
        self.tried = False

    def __call__(self) -> str | None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        head = self.api.repo_info(**self.where, revision=self.branch).sha
        changed, stale = _difference(self.api, self.where, head, self.files, self.delete_patterns)
        if not changed and not stale:
            return f"{_address(self.api, self.where)}/commit/{head}" if self.tried else None
        operations = [CommitOperationAdd(path, str(self.files[path])) for path in changed]
        deletions = [CommitOperationDelete(path, is_folder=False) for path in stale]
        self.tried = True
        commit = self.api.create_commit(
            **self.where,
            operations=operations + deletions,
            commit_message=self.message,
            revision=self.branch,
            parent_commit=head,
        )
        return str(commit.commit_url)


def _difference(
    api: Any, where: dict[str, Any], revision: str, files: dict[str, Path], delete_patterns: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Paths whose content differs from the repository's, and paths there that should go."""
    from huggingface_hub import RepoFile

    remote = {
        entry.path: entry
        for entry in api.list_repo_tree(**where, revision=revision, recursive=True)
        if isinstance(entry, RepoFile)
    }
    changed = [path for path, file in files.items() if path not in remote or not _is_same(file, remote[path])]
    stale = [
        path
        for path in remote
        if path not in files
        and path != ".gitattributes"
        and any(fnmatch.fnmatch(path, pattern) for pattern in delete_patterns)
    ]
    return changed, stale


def _is_same(file: Path, remote: Any) -> bool:
    """Compares by the Hub's own checksums: SHA-256 of a large file, git's blob id of a small one."""
    if file.stat().st_size != remote.size:
        return False
    digest = hashlib.sha256() if remote.lfs else hashlib.sha1(b"blob %d\0" % remote.size)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == (remote.lfs.sha256 if remote.lfs else remote.blob_id)


def _ensure_branch(api: Any, where: dict[str, Any], branch: str) -> None:
    refs = retry(lambda: api.list_repo_refs(**where))
    if branch in {ref.name for ref in refs.branches}:
        return
    # From the Hub's own first commit, so that a push that then fails leaves a branch without files, not half of main.
    first = retry(lambda: api.list_repo_commits(**where))[-1].commit_id
    retry(lambda: api.create_branch(**where, branch=branch, revision=first, exist_ok=True))


def _address(api: Any, where: dict[str, Any]) -> str:
    prefix = "" if where["repo_type"] == "model" else f"{where['repo_type']}s/"
    return f"{api.endpoint}/{prefix}{where['repo_id']}"


def _local_files(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not _NOT_PUSHED.intersection(file.relative_to(folder).parts)
    }
