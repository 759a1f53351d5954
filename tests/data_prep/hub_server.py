"""A Hugging Face hub on this machine: it answers what the real libraries ask for data sets.

    with HubServer() as hub:
        commit = hub.add("someone/stories", {"train.jsonl": b"..."})
        ...  # a process with the variables of hub.environment(folder) reads hub:someone/stories
        assert hub.sent["train.jsonl"] < 1000

As on the real hub, a large file is behind a redirect to another host, and counts as `sent` from there.
"""

import hashlib
import json
import re
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = 100_000  # bytes of a file from which on it is behind a redirect
TOKEN = "hf_of_the_tests"


class HubServer:
    """The server. Its attributes are there to be read, and the last three to be set, at any time."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}  # by data set and hash: the files
        self.revisions: dict[str, dict[str, str]] = {}  # by data set and branch or tag: the hash
        self.gated: set[str] = set()  # data sets that only those with TOKEN may read
        self.sent: Counter[str] = Counter()  # bytes of each file, by its path
        self.requests: list[tuple[str, str, str]] = []  # methods, paths and ranges
        self.cut: dict[str, list[int]] = {}  # for files: after how many bytes the next connections break
        self.busy = 0  # how many downloads to refuse with 503
        self.down = False  # if everything is answered with 502
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def add(self, name: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Add a commit of a data set, and point a branch or tag to it."""
        content = [(path, hashlib.sha256(files[path]).hexdigest()) for path in sorted(files)]
        commit = hashlib.sha1(repr([name, content]).encode()).hexdigest()
        self.commits.setdefault(name, {})[commit] = files
        self.revisions.setdefault(name, {})[revision] = commit
        return commit

    def environment(self, folder: Path) -> dict[str, str]:
        """The variables with which the libraries speak to this hub, and write below `folder` alone."""
        names = {"HF_ENDPOINT": self.url, "HF_HOME": str(folder), "no_proxy": "*", "NO_PROXY": "*"}
        return {**names, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}

    def commit_of(self, name: str, revision: str) -> str | None:
        """The hash of a branch, tag or hash."""
        known = self.revisions[name]
        return revision if revision in self.commits[name] else known.get(revision)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which would delay each answer
    hub: HubServer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.hub.down:
            self._refuse(502, "")
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/.+)?", path):
            self._answer_api(match[1], (match[2] or "/revision/main"), query)
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/(.+)", path):
            self._resolve(match[1], match[2])
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(\w+)/(.+)", path):
            assert "Authorization" not in self.headers
            self._send_file(match[3], self.hub.commits[match[1]][match[2]][match[3]], {})
        elif path == "/":
            self._send(200, b"")
        else:
            self._refuse(404, "")

    do_HEAD = do_POST = do_GET

    def _answer_api(self, name: str, request: str, query: dict[str, list[str]]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if name not in self.hub.commits:
            self._refuse(401, "RepoNotFound")
            return
        kind, _, rest = request[1:].partition("/")
        commit, below = self._commit_and_path(name, rest)
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return
        files = self.hub.commits[name][commit]
        if kind == "revision":
            siblings = [{"rfilename": path} for path in files]
            answer: object = {"id": name, "sha": commit, "private": False, "siblings": siblings}
        elif kind == "tree":
            prefix = f"{below}/" if below else ""
            inside = [path for path in files if path.startswith(prefix)]
            if not inside:
                self._refuse(404, "EntryNotFound")
                return
            answer = _entries(files, inside, prefix, query.get("recursive", ["false"])[0].lower() == "true")
        elif kind == "paths-info":
            answer = [_entry(path, files[path]) for path in parse_qs(body)["paths"] if path in files]
        else:
            self._refuse(404, "")
            return
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _commit_and_path(self, name: str, rest: str) -> tuple[str | None, str]:
        """Read a revision, which may hold slashes, and a path after it."""
        parts = rest.split("/")
        for number in range(1, len(parts) + 1):
            if commit := self.hub.commit_of(name, "/".join(parts[:number])):
                return commit, "/".join(parts[number:])
        return None, ""

    def _resolve(self, name: str, rest: str) -> None:
        if name not in self.hub.commits:
            self._refuse(401, "RepoNotFound")
            return
        commit, path = self._commit_and_path(name, rest)
        if name in self.hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "GatedRepo")
        elif commit is None:
            self._refuse(404, "RevisionNotFound")
        elif path not in self.hub.commits[name][commit]:
            self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        else:
            content = self.hub.commits[name][commit][path]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            if len(content) < LARGE:
                self._send_file(path, content, headers)
                return
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": headers["ETag"]}
            host = f"http://localhost:{self.hub.http.server_port}"
            self._send(302, b"", headers | {"Location": f"{host}/cdn/{name}/{commit}/{quote(path)}"})

    def _send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        if self.command == "GET" and self.hub.busy:
            self.hub.busy -= 1
            self._refuse(503, "")
            return
        status, size = 200, len(content)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2] or size - 1), size - 1) + 1
            content = content[start:end]
            status, headers = 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._send(status, content, headers | {"Accept-Ranges": "bytes"}, path)

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, b"", (headers or {}) | ({"X-Error-Code": code} if code else {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, path: str = "") -> None:
        self.send_response(status)
        for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        breaks = self.hub.cut.get(path)
        stop = breaks.pop(0) if breaks else len(body)
        with suppress(ConnectionError):  # of a client that has read enough
            for start in range(0, min(stop, len(body)), 1 << 14):
                part = body[start : min(start + (1 << 14), stop)]
                self.wfile.write(part)
                self.hub.sent[path] += len(part)
        if stop < len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def _entry(path: str, content: bytes) -> dict:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _entries(files: dict[str, bytes], inside: list[str], prefix: str, recursive: bool) -> list[dict]:
    """The entries of a folder: folders, and files."""
    found: dict[str, dict] = {}
    for path in sorted(inside):
        *folders, _ = path.removeprefix(prefix).split("/")
        for number in range(1, len(folders) + 1):
            folder = prefix + "/".join(folders[:number])
            if recursive or number == 1:
                found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
        if recursive or not folders:
            found[path] = _entry(path, files[path])
    return list(found.values())
