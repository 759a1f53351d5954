"""A wandb server on this machine: it answers what the real client asks, and keeps what it is told.

    with WandbServer() as server:
        ...  # a process with the variables of environment(server.url, folder) uses wandb
        assert server.runs["id-of-the-run"].history[300]["loss"] < 2
        assert not server.unknown

It can also be a bad one, from its start or from any moment on. `delay` is for how many seconds it thinks
before each answer (`math.inf`: it takes every connection, and never answers). `status` is the HTTP status of
every answer (500: it is broken; 401 or 403: it refuses). `after` is how many requests, counted from its
start, it answers well before all that. A server that is not there at all is `nobody()`.
"""

import base64
import gzip
import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from .operations import OPERATIONS
from .records import Artifact, Report, Run, Stored

KEY = "0123456789" * 4


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    operation: str  # of GraphQL, or ""
    authorization: str  # the header, or ""

    @property
    def key(self) -> str:
        """The API key that came with it, or ""."""
        return base64.b64decode(self.authorization.removeprefix("Basic ")).decode().removeprefix("api:")


class WandbServer:
    """The server. Its attributes are there to be read, and the three of a bad one to be set, at any time."""

    entity = "someone"  # the only user, and the owner of every project

    def __init__(self, delay: float = 0, status: int = 200, after: int = 0) -> None:
        self.delay, self.status, self.after = delay, status, after
        self.runs: dict[str, Run] = {}  # by their ids
        self.artifacts: list[Artifact] = []
        self.reports: dict[str, Report] = {}  # by their ids
        self.projects: list[str] = []
        self.requests: list[Request] = []
        self.unknown: list[str] = []  # what this server has no answer for
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"wandb": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.http.shutdown()
        self.http.server_close()

    def artifact(self, name: str) -> Artifact:
        """The artifact of a name such as `tokenizer:latest` or `tokenizer:v3`.

        Raises:
            KeyError: there is none.
        """
        for artifact in self.artifacts:
            if name in [f"{artifact.name}:{end}" for end in [*artifact.aliases, artifact.version]]:
                return artifact
        raise KeyError(name)

    def storage_url(self, owner: Stored, name: str) -> str:
        """Where the client puts and fetches a file of a run or of an artifact."""
        return f"{self.url}/storage/{quote(owner.storage_id)}/{quote(name)}"

    def answer(self, request: Request, body: bytes) -> bytes | None:
        """The body of the answer, or None when there is no such thing."""
        if request.operation:
            return json.dumps({"data": self._answer_operation(request.operation, json.loads(body))}).encode()
        if match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", request.path):
            self.runs[unquote(match[1])].stream(json.loads(body))
            return b"{}"
        if match := re.fullmatch(r"/storage/([^/]+)/(.+)", request.path):
            owners = {owner.storage_id: owner for owner in [*self.runs.values(), *self.artifacts]}
            stored, name = owners[unquote(match[1])].stored, unquote(match[2])
            if request.method == "PUT":
                stored[name] = body
            return b"" if request.method == "PUT" else stored.get(name)
        self.unknown.append(f"{request.method} {request.path}")
        return None

    def _answer_operation(self, operation: str, body: dict) -> dict:
        try:
            return OPERATIONS[operation](self, body.get("variables") or {})
        except Exception as error:  # an operation that it does not understand is one that it does not know
            self.unknown.append(f"{operation}: {error!r}")
            return {}


def environment(url: str, folder: Path) -> dict[str, str]:
    """The environment variables with which wandb speaks to `url`, and writes below `folder` alone."""
    places = {name: folder / name.lower() for name in ["DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"]}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    return {
        **{f"WANDB_{name}": str(place) for name, place in places.items()},
        "HOME": str(folder),  # where wandb looks for a .netrc
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": KEY,
        "WANDB_SILENT": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_ERROR_REPORTING": "false",  # it tells the server how wandb itself fares
    }


@contextmanager
def nobody() -> Iterator[str]:
    """A URL at which no server listens."""
    with socket.socket() as taken:  # and so nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wandb: WandbServer

    def _handle(self) -> None:
        server = self.wandb
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        operation = ""
        if self.path == "/graphql":
            operation = (
                re.search(r"\b(?:query|mutation)\s+(\w+)|$", json.loads(body)["query"])[1] or "unnamed"
            )
        request = Request(self.command, self.path, operation, self.headers.get("Authorization", ""))
        with server.lock:
            server.requests.append(request)
            well = len(server.requests) <= server.after
        if server.delay and not well:
            server.closed.wait(None if server.delay == math.inf else server.delay)
        if server.closed.is_set():
            self.close_connection = True
            return
        status, answer = 200 if well else server.status, b"{}"
        if status == 200:
            with server.lock:
                answer = server.answer(request, body)
        with suppress(ConnectionError):  # a client that waits no longer
            self.send_response(404 if answer is None else status)
            self.send_header("Content-Length", str(len(answer or b"")))
            self.end_headers()
            self.wfile.write(answer or b"")

    do_GET = do_POST = do_PUT = _handle

    def log_message(self, *_: object) -> None:
        pass
