"""A web server on this machine that can do everything wrong that servers do, and counts what it sends."""

from __future__ import annotations

import hashlib
import itertools
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

type Fault = Callable[[Handler], None]
"""Answers one request in place of the server."""


@dataclass
class Loopback:
    """What the server holds, how it will misbehave, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By path, one for each request in turn; afterwards all is well."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of each request."""
    sent: int = 0
    """Bytes of bodies."""
    named: bool = True
    """Whether files have an ETag."""
    ranges: bool = True
    """Whether a part of a file can be had."""
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    """Ends the stalls."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.loopback.asked.append((self.path, dict(self.headers)))
        faults = self.loopback.faults.get(path)
        self.close_connection = True
        if faults:
            faults.pop(0)(self)
            return
        content = self.loopback.files.get(path)
        if content is None:
            self.head(404, 0)
            return
        tag = self.tag(content)
        if tag and self.headers.get("If-None-Match") == tag:
            self.head(304, None, ETag=tag)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found and self.loopback.ranges and self.headers.get("If-Range") in (None, tag):
            start = int(found[1])
            if start >= len(content):
                self.head(416, 0)
                return
            part = content[start : int(found[2]) + 1 if found[2] else None]
            place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self.head(206, len(part), **{"Content-Range": place}, **self.named(content))
            self.body(part)
            return
        self.head(200, len(content), **self.named(content))
        self.body(content)

    def do_HEAD(self) -> None:
        path = self.path.partition("?")[0]
        self.loopback.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        content = self.loopback.files.get(path)
        if content is None:
            self.head(404, 0)
        else:
            self.head(200, len(content), **self.named(content))

    def tag(self, content: bytes) -> str:
        return f'"{hashlib.sha256(content).hexdigest()[:16]}"' if self.loopback.named else ""

    def named(self, content: bytes) -> dict[str, str]:
        return {"ETag": self.tag(content)} if self.loopback.named else {}

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.loopback.sent += len(content)
        try:
            self.wfile.write(content)
            self.wfile.flush()
        except OSError:  # the client has had enough
            pass

    def log_message(self, format: str, *args: Any) -> None:
        pass


def status(code: int, **headers: str) -> Fault:
    return lambda handler: handler.head(code, 0, **{k.replace("_", "-"): v for k, v in headers.items()})


def redirect(to: str, code: int = 302) -> Fault:
    return lambda handler: handler.head(code, 0, Location=to)


def short(after: int) -> Fault:
    """Promise the whole file, or the rest of it, and hang up ``after`` so many bytes."""

    def answer(handler: Handler) -> None:
        content = handler.loopback.files[handler.path.partition("?")[0]]
        found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(found[1]) if found and handler.headers.get("If-Range") == handler.tag(content) else 0
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.head(206, len(content) - start, **{"Content-Range": place}, **handler.named(content))
        else:
            handler.head(200, len(content), **handler.named(content))
        handler.body(content[start : start + after])

    return answer


def stall(after: int) -> Fault:
    """Send so many bytes, and then nothing without hanging up."""

    def answer(handler: Handler) -> None:
        content = handler.loopback.files[handler.path]
        handler.head(200, len(content), **handler.named(content))
        handler.body(content[:after])
        handler.loopback.released.wait(20)

    return answer


def whole(length: int | None = None, **headers: str) -> Fault:
    """Send the whole file whatever is asked, under a length and headers of choice."""

    def answer(handler: Handler) -> None:
        content = handler.loopback.files[handler.path]
        said = len(content) if length is None else length
        handler.head(
            200, said, **handler.named(content), **{k.replace("_", "-"): v for k, v in headers.items()}
        )
        handler.body(content)

    return answer


def wrong_range(handler: Handler) -> None:
    """Give another part than was asked for."""
    content = handler.loopback.files[handler.path]
    handler.head(206, 5, **{"Content-Range": f"bytes 0-4/{len(content)}"}, **handler.named(content))
    handler.body(content[:5])


def chunked(cut: bool) -> Fault:
    """Send in chunks of HTTP 1.1, the last one missing when ``cut``."""

    def answer(handler: Handler) -> None:
        content = handler.loopback.files[handler.path]
        handler.head(200, None, **{"Transfer-Encoding": "chunked"}, **handler.named(content))
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            handler.wfile.write(b"%x\r\n" % len(part))
            handler.body(part)
            handler.wfile.write(b"\r\n")
            if cut:
                return
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def endless(handler: Handler) -> None:
    """Send in chunks and never end."""
    handler.head(200, None, **{"Transfer-Encoding": "chunked"})
    try:
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
    except OSError:
        pass


def said(head: bytes, *more: bytes, pause: float = 0.0) -> Fault:
    """Send raw bytes, and then one piece after the other for as long as the client listens."""

    def answer(handler: Handler) -> None:
        try:
            handler.wfile.write(head)
            for piece in itertools.cycle(more) if more else ():
                if handler.loopback.released.wait(pause) if pause else False:
                    return
                handler.wfile.write(piece)
        except OSError:
            pass

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE: dict[str, Fault] = {
    "drips headers": said(OK, b"a", pause=0.05),
    "drips lines of headers": said(OK, b"a: b\r\n", pause=0.05),
    "endless headers": said(OK, b"a: " + b"b" * 1000 + b"\r\n"),
    "endless interim answers": said(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
    "drips the body": said(OK + b"Content-Length: 1000\r\n\r\n", b"x", pause=0.05),
    "drips the length of a chunk": said(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", pause=0.05),
    "endless chunks": said(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
    "endless body": said(OK + b"Content-Length: 100000000000\r\n\r\n", bytes(65536)),
    "a length of 5000 digits": said(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"x" * 1000),
    "a length of 300 digits": said(OK + b"Content-Length: " + b"9" * 300 + b"\r\n\r\n", bytes(65536)),
    "a negative length": said(OK + b"Content-Length: -5\r\n\r\nabc"),
    "an endless status": said(b"HTTP/1.1 200 ", b"O" * 1000),
    "no HTTP": said(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": said(b""),
    "a redirect to nowhere": said(b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n"),
    "a redirect to a file": said(
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
    ),
    "a redirect to itself": said(b"HTTP/1.1 302 Found\r\nLocation: ?a\r\nContent-Length: 0\r\n\r\n"),
    "an endless refusal": said(b"HTTP/1.1 403 No\r\nContent-Length: 100000000000\r\n\r\n", bytes(65536)),
    "late until the sun dies": said(
        b"HTTP/1.1 429 Later\r\nRetry-After: " + b"9" * 5000 + b"\r\nContent-Length: 0\r\n\r\n"
    ),
}
"""What servers send that mean no good, or are broken."""


def no_length(handler: Handler) -> None:
    """Send as HTTP 1.0 did: until the connection ends."""
    content = handler.loopback.files[handler.path]
    handler.head(200, None)
    handler.body(content)


def changed(path: str, content: bytes, then: Fault) -> Fault:
    """Put another file at ``path`` before answering."""

    def answer(handler: Handler) -> None:
        handler.loopback.files[path] = content
        then(handler)

    return answer


class Patient(ThreadingHTTPServer):
    """A server that lets many knock at once, as real ones do: one turned away comes back after a second."""

    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Run a server for the length of a test, behind TLS when a context is given."""
    loopback = Loopback()
    handler = type("Handling", (Handler,), {"loopback": loopback})
    server = Patient(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    loopback.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield loopback
    finally:
        loopback.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
