"""What a Hub holds: repositories with branches, atomic commits, git blobs and large files. In memory, no HTTP."""

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LFS_SUFFIXES = (".arrow", ".bin", ".ckpt", ".gz", ".model", ".onnx", ".parquet", ".pt", ".safetensors", ".zip")
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class HubError(Exception):
    """An answer other than success: HTTP status, the Hub's X-Error-Code, a sentence, and fields of the JSON body."""

    def __init__(self, status: int, code: str | None, message: str, **body: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.body = status, code, message, body


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    content: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def git_oid(self) -> str:
        stored = self.pointer if self.is_lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    files: dict[str, Blob]


@dataclass
class Repo:
    kind: str
    repo_id: str
    private: bool
    sdk: str | None
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def commit_at(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """From the newest commit to the first."""
        commits = [self.commit_at(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def add_commit(self, branch: str, files: dict[str, Blob], title: str, description: str, author: str) -> Commit:
        parent = self.branches.get(branch)
        date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tree = "".join(f"{path}\0{blob.git_oid}\n" for path, blob in sorted(files.items()))
        seed = "\n".join([str(parent), title, date, str(len(self.commits)), tree])
        commit = Commit(hashlib.sha1(seed.encode()).hexdigest(), parent, title, description, author, date, files)
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit


@dataclass(frozen=True)
class User:
    name: str
    namespaces: tuple[str, ...]
    can_write: bool


class Store:
    """All repositories, users and large files of one Hub. `lock` guards whatever changes them."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, User] = {}
        self.large_files: dict[str, bytes] = {}
        self.lock = threading.RLock()

    def create(self, kind: str, repo_id: str, private: bool, sdk: str | None, user: User) -> Repo:
        self.check_may_write(user, repo_id)
        if kind == "space" and sdk is None:
            raise HubError(400, None, "a space needs an sdk")
        with self.lock:
            if (kind, repo_id) in self.repos:
                raise HubError(409, None, f"You already created this {kind} repo")
            repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private, sdk)
            repo.add_commit("main", {".gitattributes": Blob(GIT_ATTRIBUTES, False)}, "initial commit", "", user.name)
        return repo

    def find(self, kind: str, repo_id: str, user: User | None) -> Repo:
        """A repository that `user` may see; one that they may not looks as if it did not exist."""
        repo = self.repos.get((kind, repo_id))
        may_see = repo is not None and (not repo.private or (user is not None and _owns(user, repo_id)))
        if repo is None or not may_see:
            raise HubError(404 if user else 401, "RepoNotFound", "Repository not found")
        return repo

    def check_may_write(self, user: User | None, repo_id: str) -> User:
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        if not user.can_write or not _owns(user, repo_id):
            namespace = repo_id.split("/")[0]
            raise HubError(403, None, f"You don't have the rights to write under the namespace {namespace!r}")
        return user

    def commit(self, repo: Repo, branch: str, header: dict[str, Any], operations: list[Any], user: User) -> Commit:
        """All operations or none. 412 when the branch has moved past the parent that the client names."""
        with self.lock:
            if branch not in repo.branches:
                raise HubError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
            head = repo.commit_at(branch)
            if header.get("parentCommit") not in (None, head.oid):
                raise HubError(412, None, "A commit has happened since. Please refresh and try again.")
            files = dict(head.files)
            for key, value in operations:
                path = value["path"]
                if key == "file":
                    files[path] = Blob(value["content"], False)
                elif key == "lfsFile":
                    if value["oid"] not in self.large_files:
                        raise HubError(400, None, f"LFS pointer pointed to a file that does not exist: {path}")
                    files[path] = Blob(self.large_files[value["oid"]], True)
                elif key == "deletedFile":
                    if path not in files:
                        raise HubError(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
                    del files[path]
                elif key == "deletedFolder":
                    files = {name: blob for name, blob in files.items() if not name.startswith(path.rstrip("/") + "/")}
                else:
                    raise HubError(400, None, f"unknown operation {key}")
            summary, description = header.get("summary", ""), header.get("description", "")
            return repo.add_commit(branch, files, summary, description, user.name)


def _owns(user: User, repo_id: str) -> bool:
    return repo_id.split("/")[0] in user.namespaces
