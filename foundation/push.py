"""One folder to one Hub repository by one atomic commit, safe to repeat and read back.

`upload_folder` may make several commits, and the Hub's client repeats neither the commit nor the calls around it: a
connection that breaks after the Hub has handled the commit leaves the caller to guess. Here every attempt first asks
what the branch holds, commits only what differs, and names the parent that it saw; so an attempt whose answer was lost
shows itself done, and a commit of somebody else in between is never overwritten unseen.
"""

import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .cards import CARD, with_additions
from .cli import UserError, explain, one_line
from .files import matches

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; each further wait is twice as long
STALL_SECONDS = 120.0  # a request without a byte for so long counts as lost; by itself the client waits for ever
TRANSIENT = (408, 412, 425, 429, 500, 502, 503, 504)  # 412: the branch moved, so look again

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp")  # owners put them into a card by hand
_NOT_PUSHED = {".git", ".cache", "__pycache__", ".ipynb_checkpoints"}

T = TypeVar("T")


def check_id(repo_id: str, argument: str) -> None:
    """Refuse what is not `name` or `org/name`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"{argument} {repo_id!r} is not a Hub id: give org/name") from error


def settle(repo_id: str, repo_type: str, *, private: bool | None = None, argument: str = "--hub_model_id") -> str:
    """The whole id of the repository that a push will go to: asked of the Hub before any work is done for it.

    A name without an owner is that of whoever is logged in.

    Raises:
        UserError: no such id, no login or one that the Hub does not know, or `private` of what exists and is public.
    """
    from huggingface_hub import HfApi, errors, get_token

    check_id(repo_id, argument)
    if get_token() is None:
        raise UserError("no login was found: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        user = retry(api.whoami)["name"]
        whole = repo_id if "/" in repo_id else f"{user}/{repo_id}"
        if private:
            _check_private(api, {"repo_id": whole, "repo_type": repo_type})
    except UserError:
        raise
    except (errors.HTTPError, ValueError) as error:
        raise UserError(f"{argument} {repo_id!r} cannot be pushed to: {explain(error) or one_line(error)}") from error
    return whole


def _check_private(api: Any, where: dict[str, Any]) -> None:
    """Refuse to push into a public repository what was asked to be private; its visibility is its owner's."""
    from huggingface_hub import errors

    try:
        public = not retry(lambda: api.repo_info(**where)).private
    except errors.RepositoryNotFoundError:
        return
    if public:
        raise UserError(
            f"--private is of a repository that is created, and {where['repo_id']} exists and is public: change it on "
            "the Hub, choose another, or leave --private out"
        )


def push_folder(
    folder: str | Path,
    repo_id: str,
    repo_type: str,
    *,
    private: bool | None,
    message: str,
    delete_patterns: Sequence[str] = (),
    revision: str | None = None,
    space_sdk: str = "gradio",
) -> str | None:
    """Make the files of `folder` those of a Hub repository, which is created when it does not exist.

    What its owner wrote by hand stays: additions to a card (`foundation.cards.with_additions`), .gitattributes, images.

    Args:
        repo_id: whole, or a name in the space of whoever is logged in; the Hub's answer counts.
        repo_type: "model", "dataset" or "space".
        private: of a repository that is created; one that exists keeps its visibility.
        message: the commit's title.
        delete_patterns: what goes from the repository when the folder does not have it (`foundation.files.matches`).
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
    try:
        sdk = space_sdk if repo_type == "space" else None
        created = retry(
            lambda: api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk)
        )
        where: dict[str, Any] = {"repo_id": created.repo_id, "repo_type": repo_type}
        if private:
            _check_private(api, where)
        push = _Push(api, where, revision or "main", files, delete_patterns, message)
        if push.branch != "main":
            _ensure_branch(api, where, push.branch)
        url = retry(push)
        changed, stale = retry(lambda: push.difference(push.branch))
    except UserError:
        raise
    except (errors.HTTPError, ValueError, ConnectionError, TimeoutError, PermissionError) as error:
        # The last three come from the client's transport for large files, which has retried already.
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
            # For a large file the client wraps the error in a RuntimeError.
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
    # A limit of the session would not hold for listing calls: each of them asks for none.
    limits = request.extensions.get("timeout", {})
    if all(limit is None for limit in limits.values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), STALL_SECONDS)


class _Push:
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
        changed, stale = self.difference(head)
        if not changed and not stale:
            return f"{_address(self.api, self.where)}/commit/{head}" if self.tried else None
        operations = [
            CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
            for path, content in changed.items()
        ]
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

    def difference(self, revision: str) -> tuple[dict[str, Path | bytes], list[str]]:
        """Path to content of what differs from the repository's, and paths there that should go."""
        from huggingface_hub import RepoFile

        remote = {
            entry.path: entry
            for entry in self.api.list_repo_tree(**self.where, revision=revision, recursive=True)
            if isinstance(entry, RepoFile)
        }
        wanted: dict[str, Path | bytes] = dict(self.files)
        if CARD in wanted and CARD in remote and not _is_same(self.files[CARD], remote[CARD]):
            wanted[CARD] = self._card(revision)
        changed = {
            path: content
            for path, content in wanted.items()
            if path not in remote or not _is_same(content, remote[path])
        }
        return changed, [path for path in remote if path not in wanted and self._goes(path)]

    def _card(self, revision: str) -> bytes:
        """Our card with what the owner added to the one that is there."""
        with tempfile.TemporaryDirectory() as cache:
            there = self.api.hf_hub_download(**self.where, filename=CARD, revision=revision, cache_dir=cache)
            old = Path(there).read_text(encoding="utf-8-sig", errors="replace")
        return with_additions(self.files[CARD].read_text(encoding="utf-8"), old).encode()

    def _goes(self, path: str) -> bool:
        by_hand = path == ".gitattributes" or (path.lower().endswith(IMAGES) and path not in self.delete_patterns)
        return not by_hand and matches(path, self.delete_patterns)


def _is_same(content: Path | bytes, remote: Any) -> bool:
    """Compares by the Hub's own checksums: SHA-256 of a large file, git's blob id of a small one."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size != remote.size:
        return False
    digest = hashlib.sha256() if remote.lfs else hashlib.sha1(b"blob %d\0" % remote.size)
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == (remote.lfs.sha256 if remote.lfs else remote.blob_id)


def _ensure_branch(api: Any, where: dict[str, Any], branch: str) -> None:
    refs = retry(lambda: api.list_repo_refs(**where))
    if branch in {ref.name for ref in refs.branches}:
        return
    # The branch starts at the Hub's own first commit: if the push then fails, it has no files, and not half of main.
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
