"""A stand-in of the Hugging Face Hub on this machine: repositories in memory, mishaps on demand."""

import base64
import hashlib
import json
import re
import socket
from dataclasses import dataclass, field

import huggingface_hub
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

TOKEN = "hf_" + "secret" * 5
LARGE = 2000
"""Bytes from which a file is stored as a large one (LFS)."""


@dataclass
class Repository:
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    commits: int = 0

    @property
    def sha(self) -> str:
        return hashlib.sha1(f"{sorted(self.files)}{self.commits}".encode()).hexdigest()

    def entry(self, path: str) -> dict:
        data = self.files[path]
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found = {"type": "file", "oid": oid, "size": len(data), "path": path}
        if path in self.large:
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
        return found


class HubServer:
    """Answers as the Hub does.

    `mishaps` are (method, pattern of the path, status), used up in turn, a status of 0 for a
    connection that breaks; `asked` holds method and path of each request, `tokens` what authorised
    them.
    """

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("").rstrip("/")
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.mishaps: list[tuple[str, str, int]] = []
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        server.expect_request(re.compile(".*")).respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        line = f"{request.method} {request.path}"
        self.asked.append(line)
        self.tokens.add(request.headers.get("Authorization"))
        for mishap in self.mishaps:
            method, pattern, status = mishap
            if method == request.method and re.search(pattern, request.path):
                self.mishaps.remove(mishap)
                if not status:
                    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return Response(json.dumps({"error": f"no: {TOKEN}"}), status, {"Retry-After": "0"})
        for pattern, handler in self.ROUTES:
            match = re.fullmatch(pattern, line)
            if match:
                return handler(self, request, **match.groupdict())
        return Response(f"no route {line}", 404)

    def create(self, request: Request) -> Response:
        asked = request.get_json()
        key = asked.get("type") or "model", f"{asked['organization']}/{asked['name']}"
        status = 409 if key in self.repositories else 200
        self.repositories.setdefault(key, Repository())
        return reply({"url": f"{self.url}/{key[1]}"}, status)

    def yaml(self, request: Request) -> Response:
        assert request.get_json()["content"].startswith("---\n")
        return reply({"errors": [], "warnings": []})

    def info(self, request: Request, kind: str, repo: str) -> Response:
        found = self.repositories.get((kind, repo))
        if found is None:
            return Response("{}", 404, {"X-Error-Code": "RepoNotFound"})
        return reply({"id": repo, "sha": found.sha, "private": False, "siblings": [
            {"rfilename": name} for name in found.files]})  # fmt: skip

    def tree(self, request: Request, kind: str, repo: str) -> Response:
        found = self.repositories[kind, repo]
        return reply([found.entry(path) for path in sorted(found.files)])

    def refs(self, request: Request, kind: str, repo: str) -> Response:
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
                for name, commit in self.repositories[kind, repo].tags.items()]  # fmt: skip
        return reply({"branches": [], "converts": [], "tags": tags})

    def tag(self, request: Request, kind: str, repo: str) -> Response:
        found = self.repositories[kind, repo]
        found.tags[request.get_json()["tag"]] = found.sha
        return reply({})

    def untag(self, request: Request, kind: str, repo: str, tag: str) -> Response:
        del self.repositories[kind, repo].tags[tag]
        return reply({})

    def preupload(self, request: Request, kind: str, repo: str) -> Response:
        return reply({"files": [
            {"path": f["path"], "shouldIgnore": False,
             "uploadMode": "lfs" if f["size"] >= LARGE else "regular"}
            for f in request.get_json()["files"]
        ]})  # fmt: skip

    def batch(self, request: Request) -> Response:
        return reply({"objects": [
            {**one, "actions": {"upload": {"href": f"{self.url}/upload/{one['oid']}"}}}
            for one in request.get_json()["objects"]
        ]})  # fmt: skip

    def upload(self, request: Request, oid: str) -> Response:
        self.blobs[oid] = request.get_data()
        return reply({})

    def commit(self, request: Request, kind: str, repo: str) -> Response:
        found = self.repositories[kind, repo]
        for line in request.get_data().splitlines():
            key, value = json.loads(line).values()
            if key == "file":
                found.files[value["path"]] = base64.b64decode(value["content"])
                found.large.discard(value["path"])
            elif key == "lfsFile":
                found.files[value["path"]] = self.blobs[value["oid"]]
                found.large.add(value["path"])
            elif key == "deletedFile":
                del found.files[value["path"]]
        found.commits += 1
        return reply({"commitUrl": f"{self.url}/{repo}/commit/{found.sha}", "commitOid": found.sha})

    def file(self, request: Request, repo: str, path: str, data: str | None = None) -> Response:
        found = self.repositories["dataset" if data else "model", repo]
        content = found.files[path]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": found.sha,
                   "Content-Length": str(len(content))}  # fmt: skip
        return Response(content, 200, headers)

    OF = r"/api/(?P<kind>model|dataset)s/(?P<repo>[^/]+/[^/]+)"
    ROUTES = (
        (r"POST /api/repos/create", create),
        (r"POST /api/validate-yaml", yaml),
        (rf"GET {OF}(/revision/\w+)?", info),
        (rf"GET {OF}/tree/\w+", tree),
        (rf"GET {OF}/refs", refs),
        (rf"POST {OF}/tag/main", tag),
        (rf"DELETE {OF}/tag/(?P<tag>.+)", untag),
        (rf"POST {OF}/preupload/main", preupload),
        (rf"POST {OF}/commit/main", commit),
        (r"POST /(datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch", batch),
        (r"PUT /upload/(?P<oid>\w+)", upload),
        (r"(HEAD|GET) /(?P<data>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/\w+/(?P<path>.+)", file),
    )


def reply(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, {"Content-Type": "application/json"})


def reach(hub: HubServer, monkeypatch, cache) -> None:
    """Let the Hub's library, in this process, talk to the stand-in, without other storages."""
    constants = huggingface_hub.constants
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
