"""The Hub's HTTP interface over a Store: what huggingface_hub and `datasets` speak, no more."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .store import LFS_SUFFIXES, Commit, HubError, Repo, Store, User

PREFIXES = {"datasets": "dataset", "spaces": "space", "models": "model"}
PAGE = 1_000


class HubApp:
    """One ASGI application. `lfs_threshold` is the size from which any file is kept as a large one (bytes)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lfs_threshold = 10 * 1024 * 1024

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        # In a thread, since hashing a large file would hold up the other connections.
        response = await run_in_threadpool(self._answer, request, body)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        try:
            # The slash of a revision comes quoted. So the path is split before it is unquoted.
            raw = request.scope["raw_path"].decode().split("?")[0]
            return self._route(request, [unquote(part) for part in raw.strip("/").split("/")], body)
        except HubError as error:
            headers = {"X-Error-Message": error.message}
            if error.code:
                headers["X-Error-Code"] = error.code
            return JSONResponse({"error": error.message, **error.body}, error.status, headers)

    def _route(self, request: Request, parts: list[str], body: bytes) -> Response:
        if parts[0] == "large-files":
            return self._put_large_file(request, parts[1], body)  # its URL is signed, so it needs no token
        user = self._user(request)
        match parts:
            case ["api", "whoami-v2"]:
                return self._whoami(user)
            case ["api", "validate-yaml"]:
                return _validate_yaml(json.loads(body))
            case ["api", "repos", "create"]:
                return self._create(json.loads(body), user, str(request.base_url))
            case ["api", "repos", "delete"]:
                return self._delete(json.loads(body), user)
            case ["api", kinds, owner, name, *rest] if kinds in PREFIXES:
                repo = self.store.find(PREFIXES[kinds], f"{owner}/{name}", user)
                return self._repo(request, repo, rest or [""], body, user)
        kind = PREFIXES[parts.pop(0)] if parts[0] in PREFIXES else "model"
        match parts:
            case [owner, git, "info", "lfs", "objects", "batch"] if git.endswith(".git"):
                return self._lfs_batch(request, kind, f"{owner}/{git.removesuffix('.git')}", json.loads(body), user)
            case [owner, git, "info", "lfs", "objects", "verify"] if git.endswith(".git"):
                return self._lfs_verify(json.loads(body))
            case [owner, name, "resolve", revision, *path]:
                repo = self.store.find(kind, f"{owner}/{name}", user)
                return self._resolve(request, repo, revision, "/".join(path))
        raise HubError(404, None, f"no such page: {'/'.join(parts)}")

    # --- users and repositories

    def _user(self, request: Request) -> User | None:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None
        user = self.store.users.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        return user

    def _whoami(self, user: User | None) -> Response:
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        role = "write" if user.can_write else "read"
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name in user.namespaces if name != user.name]
        token = {"type": "access_token", "accessToken": {"displayName": "loopback", "role": role}}
        return JSONResponse({"type": "user", "name": user.name, "fullname": user.name, "orgs": orgs, "auth": token})

    def _create(self, wish: dict[str, Any], user: User | None, base_url: str) -> Response:
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        kind = wish.get("type") or "model"
        repo_id = f"{wish.get('organization') or user.name}/{wish['name']}"
        private = wish.get("private") is True or wish.get("visibility") == "private"
        url = base_url + ("" if kind == "model" else f"{kind}s/") + repo_id
        try:
            self.store.create(kind, repo_id, private, wish.get("sdk"), user)
        except HubError as error:
            error.body["url"] = url
            raise
        return JSONResponse({"url": url, "name": repo_id})

    def _delete(self, wish: dict[str, Any], user: User | None) -> Response:
        kind = wish.get("type") or "model"
        repo_id = f"{wish.get('organization') or (user.name if user else '')}/{wish['name']}"
        self.store.find(kind, repo_id, user)
        self.store.check_may_write(user, repo_id)
        with self.store.lock:
            del self.store.repos[kind, repo_id]
        return Response("OK")

    def _repo(self, request: Request, repo: Repo, rest: list[str], body: bytes, user: User | None) -> Response:
        writing = rest[0] in ("preupload", "commit", "branch", "tag", "settings", "secrets", "variables")
        writer = self.store.check_may_write(user, repo.repo_id) if writing and request.method != "GET" else None
        match [request.method, *rest]:
            case ["GET", ""]:
                return JSONResponse(_info(repo, repo.commit_at("main"), "blobs" in request.query_params))
            case ["GET", "revision", revision]:
                return JSONResponse(_info(repo, repo.commit_at(revision), "blobs" in request.query_params))
            case ["GET", "auth-check"]:
                return Response("OK")
            case ["GET", "tree", revision, *path]:
                return _tree(request, repo.commit_at(revision), "/".join(path))
            case ["POST", "paths-info", revision]:
                return self._paths_info(request, repo.commit_at(revision), body)
            case ["GET", "refs"]:
                return JSONResponse(
                    {"branches": _refs(repo.branches, "heads"), "tags": _refs(repo.tags, "tags")} | {"converts": []}
                )
            case ["GET", "commits", revision]:
                return JSONResponse([_commit_info(commit) for commit in repo.history(revision)])
            case ["POST", "preupload", revision]:
                return self._preupload(repo.commit_at(revision), json.loads(body))
            case ["POST", "commit", branch] if writer:
                return self._commit(request, repo, branch, body, writer)
            case ["POST" | "DELETE" as method, "branch" | "tag" as ref, name]:
                return self._change_ref(repo, method, ref, name, body)
            case ["PUT", "settings"]:
                wish = json.loads(body)
                repo.private = wish.get("private", wish.get("visibility", "public") == "private")
                return JSONResponse(wish)
            case ["POST", "secrets" | "variables" as what]:
                wish = json.loads(body)
                getattr(repo, what)[wish["key"]] = wish["value"]
                return JSONResponse({})
            case ["GET", "variables"]:
                return JSONResponse({key: {"key": key, "value": value} for key, value in repo.variables.items()})
        raise HubError(404, None, f"no such page: {request.method} {'/'.join(rest)}")

    def _change_ref(self, repo: Repo, method: str, ref: str, name: str, body: bytes) -> Response:
        refs = repo.branches if ref == "branch" else repo.tags
        with self.store.lock:
            if method == "DELETE":
                if name not in refs or name == "main":
                    raise HubError(404, "RevisionNotFound", f"no {ref} {name!r} that may be deleted")
                del refs[name]
            else:
                if ref == "tag":
                    name, start = json.loads(body)["tag"], name
                else:
                    start = (json.loads(body) if body else {}).get("startingPoint") or "main"
                if name in refs:
                    raise HubError(409, None, f"Reference already exists: {name}")
                refs[name] = repo.commit_at(start).oid
        return Response("OK")

    # --- files, upwards

    def _preupload(self, commit: Commit, wish: dict[str, Any]) -> Response:
        answers = []
        for file in wish["files"]:
            sample = base64.b64decode(file["sample"])
            large = file["path"].endswith(LFS_SUFFIXES) or file["size"] >= self.lfs_threshold or b"\0" in sample
            answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if file["path"] in commit.files:
                answer["oid"] = commit.files[file["path"]].etag
            answers.append(answer)
        return JSONResponse({"files": answers, "commitOid": commit.oid})

    def _lfs_batch(
        self, request: Request, kind: str, repo_id: str, wish: dict[str, Any], user: User | None
    ) -> Response:
        self.store.find(kind, repo_id, user)
        self.store.check_may_write(user, repo_id)
        objects = []
        for file in wish["objects"]:
            answer: dict[str, Any] = {"oid": file["oid"], "size": file["size"]}
            if file["oid"] not in self.store.large_files:
                signature = hashlib.sha256(b"secret" + file["oid"].encode()).hexdigest()
                verify = request.url.replace(query="").path.replace("/batch", "/verify")
                answer["actions"] = {
                    "upload": {"href": f"{request.base_url}large-files/{file['oid']}?signature={signature}"},
                    "verify": {"href": str(request.base_url).rstrip("/") + verify},
                }
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects})

    def _put_large_file(self, request: Request, oid: str, body: bytes) -> Response:
        if request.query_params.get("signature") != hashlib.sha256(b"secret" + oid.encode()).hexdigest():
            raise HubError(403, None, "the signature does not match")
        if hashlib.sha256(body).hexdigest() != oid:
            raise HubError(400, None, "the content does not match its SHA-256")
        self.store.large_files[oid] = body
        return Response(headers={"ETag": f'"{oid}"'})

    def _lfs_verify(self, wish: dict[str, Any]) -> Response:
        if len(self.store.large_files.get(wish["oid"], b"")) != wish["size"]:
            raise HubError(404, None, "the large file did not arrive whole")
        return JSONResponse({})

    def _commit(self, request: Request, repo: Repo, branch: str, body: bytes, user: User) -> Response:
        lines = [json.loads(line) for line in body.splitlines() if line]
        header = next(line["value"] for line in lines if line["key"] == "header")
        operations = []
        for line in lines:
            value = dict(line["value"])
            if line["key"] == "file":
                value["content"] = base64.b64decode(value["content"])
                if value["path"] == "README.md":
                    _check_metadata(value["content"].decode())
            if line["key"] != "header":
                operations.append((line["key"], value))
        commit = self.store.commit(repo, branch, header, operations, user)
        prefix = "" if repo.kind == "model" else f"{repo.kind}s/"
        url = f"{request.base_url}{prefix}{repo.repo_id}/commit/{commit.oid}"
        return JSONResponse({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    # --- files, downwards

    def _paths_info(self, request: Request, commit: Commit, body: bytes) -> Response:
        if request.headers.get("content-type", "").startswith("application/json"):
            wish = json.loads(body)
            paths, expand = wish["paths"], wish.get("expand", False)
        else:  # the client may also send a form
            form = [unquote(pair.replace("+", " ")).partition("=") for pair in body.decode().split("&")]
            paths = [value for key, _, value in form if key == "paths"]
            expand = ("expand", "=", "True") in form or ("expand", "=", "true") in form
        found = [_entry(commit, path, expand) for path in paths]
        return JSONResponse([entry for entry in found if entry is not None])

    def _resolve(self, request: Request, repo: Repo, revision: str, path: str) -> Response:
        commit = repo.commit_at(revision)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        blob = commit.files.get(path)
        if blob is None:
            error = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return Response("Entry not found", 404, headers | error)
        headers["ETag"] = f'"{blob.etag}"'
        content, status = blob.content, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if asked and asked.group(0) != "bytes=-":
            size = len(content)
            first, last = asked.groups()
            start, stop = (size - int(last), size) if not first else (int(first), min(int(last or size - 1) + 1, size))
            if start >= size:
                return Response("range not satisfiable", 416, headers | {"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            content, status = content[start:stop], 206
        headers["Content-Length"] = str(len(content))
        return Response(b"" if request.method == "HEAD" else content, status, headers, "application/octet-stream")


async def _lifespan(receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _info(repo: Repo, commit: Commit, with_blobs: bool) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = []
    for path, blob in sorted(commit.files.items()):
        sibling: dict[str, Any] = {"rfilename": path}
        if with_blobs:
            sibling |= {"size": len(blob.content), "blobId": blob.git_oid}
            if blob.is_lfs:
                sibling["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
        siblings.append(sibling)
    readme = commit.files.get("README.md")
    card = _metadata(readme.content.decode()) if readme else None
    return {
        "_id": hashlib.sha1(repo.repo_id.encode()).hexdigest()[:24],
        "id": repo.repo_id,
        "modelId": repo.repo_id,
        "author": repo.repo_id.split("/")[0],
        "sha": commit.oid,
        "createdAt": repo.history("main")[-1].date,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "sdk": repo.sdk,
        "cardData": json.loads(json.dumps(card, default=str)),
        "siblings": siblings,
    }


def _tree(request: Request, commit: Commit, folder: str) -> Response:
    prefix = folder.strip("/") + "/" if folder.strip("/") else ""
    below = [path for path in sorted(commit.files) if path.startswith(prefix)]
    if prefix and not below:
        raise HubError(404, "EntryNotFound", f"{folder} does not exist on this revision")
    truth = ("true", "True", "1")
    recursive, expand = (request.query_params.get(name) in truth for name in ("recursive", "expand"))
    names: dict[str, None] = {}
    for path in below:
        steps = path.removeprefix(prefix).split("/")
        depth = len(steps) if recursive else 1
        for n in range(1, depth + 1):
            names[prefix + "/".join(steps[:n])] = None
    start = int(request.query_params.get("cursor", 0))
    page = list(names)[start : start + PAGE]
    headers = {}
    if start + PAGE < len(names):
        following = request.url.include_query_params(cursor=start + PAGE)
        headers["Link"] = f'<{following}>; rel="next"'
    return JSONResponse([_entry(commit, name, expand) for name in page], headers=headers)


def _entry(commit: Commit, path: str, expand: bool) -> dict[str, Any] | None:
    blob = commit.files.get(path)
    entry: dict[str, Any]
    if blob is not None:
        entry = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.git_oid}
        if blob.is_lfs:
            entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    elif any(name.startswith(path + "/") for name in commit.files):
        entry = {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
    else:
        return None
    if expand:
        entry["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return entry


def _refs(refs: dict[str, str], folder: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in refs.items()]


def _commit_info(commit: Commit) -> dict[str, Any]:
    authors = [{"user": commit.author}]
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.description,
        "authors": authors,
        "date": commit.date,
    }


def _metadata(readme: str) -> Any:
    found = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", readme.replace("\r\n", "\n"), re.DOTALL)
    return yaml.safe_load(found.group(1)) if found else None


def _check_metadata(readme: str) -> None:
    try:
        metadata = _metadata(readme)
    except yaml.YAMLError as error:
        raise HubError(400, None, "Invalid metadata in README.md", errors=[{"message": str(error)}]) from None
    if metadata is not None and not isinstance(metadata, dict):
        raise HubError(400, None, "Invalid metadata in README.md", errors=[{"message": "metadata must be an object"}])
    problems = [
        {"message": f'"{key}" must be a string or a list of strings'}
        for key in ("license", "language", "tags", "task_categories", "size_categories")
        if (value := (metadata or {}).get(key)) is not None
        and not (isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)))
    ]
    if problems:
        # YAML reads `no` (Norwegian) as a boolean, which the Hub refuses too.
        raise HubError(400, None, "Invalid metadata in README.md", errors=problems)


def _validate_yaml(wish: dict[str, Any]) -> Response:
    _check_metadata(wish["content"])
    warnings = [] if _metadata(wish["content"]) else [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse({"errors": [], "warnings": warnings})
