"""One HTTP request: redirects are followed, certificates are checked, each refusal becomes a clear error.

It uses ``urllib`` of the standard library, so that a core install opens URLs. ``urllib`` knows the proxies of the
system, and an asynchronous client is no faster for one file at a time. Its error and redirect handlers are left out,
because they would send a password to another host and show addresses with their tokens.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPException, HTTPResponse, InvalidURL, responses
from urllib.error import URLError
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from bigimg.errors import InputError, InputNotFoundError, warn
from bigimg.places.address import redacted
from bigimg.version import __version__

MOST_REDIRECTS = 10
STALL = 30.0
"""Seconds without a byte after which a request fails."""
MOST_WHOLE = 16 << 20
"""Bytes of an object that a store fetches without saying which part of it, such as a document."""
LEAST_RATE = 1000
"""Bytes a second; a slower transfer counts as a stall."""
LATER = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, in seconds."""

    tries: int = 5
    """Requests in a row that bring no new bytes."""
    first_wait: float = 0.5
    """Wait before the second request; doubled each time."""
    most_wait: float = 60.0
    """Longest wait; a server that asks for a longer one is given up."""
    stall: float = STALL
    """Time without a byte, or with very few."""


class TryAgain(Exception):
    """The request may succeed if it is repeated; this error never leaves the folder ``places``."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait
        """Seconds that the server asks to wait; None if it does not."""


def ask(url: str, headers: dict[str, str], *, insecure: bool = False, stall: float = STALL) -> HTTPResponse:
    """Return the open response to ``GET url`` with a status of 200, 206, 304 or 416.

    Parameters
    ----------
    url : str
        User and password in it are sent to that host only.
    headers : dict
    insecure : bool
        Accept any certificate, with a warning.
    stall : float
        Seconds without a response after which the request fails.

    Raises
    ------
    TryAgain
        The server is busy or not reachable now.
    InputNotFoundError, InputError
        The server refuses the request.
    """
    shown = redacted(url)
    opener = _opener(insecure, shown)
    try:
        bare, login = _login(url)
    except ValueError as error:
        raise InputError(f"{shown}: is not an address ({_reason(error)}); check it") from None
    home, seen = _host(bare), set[str]()
    while True:
        if bare in seen or len(seen) > MOST_REDIRECTS:
            raise InputError(f"{shown}: the server redirects in a loop ({len(seen)} times); check it")
        seen.add(bare)
        sent = {"User-Agent": f"bigimg/{__version__}", "Accept-Encoding": "identity", **headers}
        if login is not None and _host(bare) == home:
            sent["Authorization"] = login
        response = _response(opener, bare, sent, shown, stall)
        if response.status in (301, 302, 303, 307, 308):
            with response:
                bare = _next(bare, response.headers.get("Location"), shown)
            continue
        if response.status in (200, 206, 304, 416):
            return response
        with response:
            raise _refusal(response, shown)


class Connection(http.client.HTTPConnection):
    """A connection whose headers have a deadline, and that can be cut from another thread."""

    def getresponse(self) -> HTTPResponse:
        """Return the answer when its headers are there.

        Raises
        ------
        TimeoutError
            They are not there in time, as of a server that sends them byte by byte.
        """
        cut = partial(_cut, self.sock)
        with watched(cut, lambda: 0, float(self.timeout or STALL)) as slow:
            try:
                response = super().getresponse()
            except (OSError, HTTPException):
                if slow.is_set():
                    raise TimeoutError from None
                raise
        if slow.is_set():  # headers that were cut may pass for whole ones
            response.close()
            raise TimeoutError
        response.cut = cut  # type: ignore[attr-defined]
        return response


class SafeConnection(Connection, http.client.HTTPSConnection):
    """The same behind TLS."""


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(Connection, request)


class _SafeHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.context = context

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(SafeConnection, request, context=self.context)


def _cut(connected: socket.socket) -> None:
    """End all reads from a socket that are waiting."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


@contextmanager
def watched(cut: Callable[[], None], progress: Callable[[], int], stall: float) -> Iterator[threading.Event]:
    """Cut a connection that brings less than :data:`LEAST_RATE` for ``stall`` seconds; the event says that it was.

    A timeout of the socket ends a read without a byte, but not one that gets a byte now and then.

    Parameters
    ----------
    cut : callable
        Ends the reads within the block.
    progress : callable
        Returns the number of received bytes.
    stall : float
    """
    over, slow = threading.Event(), threading.Event()

    def watch() -> None:
        before = progress()
        while not over.wait(stall):
            if (now := progress()) - before < LEAST_RATE * stall:
                slow.set()
                cut()
                return
            before = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield slow
    finally:
        over.set()
        thread.join()


def _opener(insecure: bool, shown: str) -> urllib.request.OpenerDirector:
    if insecure:
        warn(f"{shown}: certificates are not checked (insecure)")
    context = _context(insecure, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Handler(), _SafeHandler(context)):
        opener.add_handler(handler)
    return opener


@cache
def _context(insecure: bool, *places: str | None) -> ssl.SSLContext:
    """Return how certificates are checked; ``places`` are those that the environment names. It takes 20 ms to make."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _response(
    opener: urllib.request.OpenerDirector, url: str, headers: dict[str, str], shown: str, stall: float
) -> HTTPResponse:
    try:
        request = urllib.request.Request(url, headers=headers)
        response: HTTPResponse | None = opener.open(request, timeout=stall)
    except (InvalidURL, UnicodeError) as error:
        raise InputError(f"{shown}: is not an address ({_reason(error)}); check it") from None
    except TimeoutError:
        raise TryAgain(f"the server says nothing for {stall:g} s") from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            what = f"the certificate of the server is not valid ({reason.verify_message})"
            raise InputError(
                f"{shown}: {what};", ways=["if you trust the server, use insecure=True"]
            ) from None
        if isinstance(reason, socket.gaierror):
            raise InputError(f"{shown}: no server has this name; check the address and the network") from None
        what = "the connection broke" if reason is error else "the server cannot be reached"
        raise TryAgain(f"{what} ({_reason(reason)})") from None
    assert response is not None  # there are handlers for http and https, and _next allows no other scheme
    return response


def _reason(reason: object) -> str:
    return getattr(reason, "strerror", None) or " ".join(str(reason).split())[:100] or type(reason).__name__


def _login(url: str) -> tuple[str, str | None]:
    """Return the address without user and password, and the header that authorizes, if there is one."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    safe = "%/:=&?~+!$,;'@()*[]"
    bare = urlunsplit((parts.scheme, host, quote(parts.path, safe) or "/", quote(parts.query, safe), ""))
    if not at:
        return bare, None
    return bare, "Basic " + base64.b64encode(unquote(user).encode()).decode()


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _next(url: str, location: str | None, shown: str) -> str:
    """Return the address to which a redirect leads, without user and password."""
    if not location:
        raise InputError(f"{shown}: the server redirects to nowhere; check the address")
    try:
        target, _ = _login(urljoin(url, location))
    except ValueError:
        raise InputError(f"{shown}: the server redirects to no address; check the address") from None
    scheme = urlsplit(target).scheme.lower()
    if scheme not in ("http", "https"):
        what = f"the server redirects to {scheme or 'nothing'}, not http"
        raise InputError(f"{shown}: {what}; check the address")
    if scheme == "http" and _host(url)[0] == "https":
        raise InputError(f"{shown}: the server redirects from https to http, which is not safe; not followed")
    return target


def _refusal(response: HTTPResponse, shown: str) -> Exception:
    status, phrase = response.status, responses.get(response.status, "unknown")
    if status in LATER:
        return TryAgain(f"the server answers {status} {phrase}", _wait(response.headers.get("Retry-After")))
    if status in (404, 410):
        return InputNotFoundError(f"{shown}: there is no such file ({status} {phrase}); check the address")
    if status in (401, 403, 407):
        what = f"the server does not allow to read it ({status} {phrase})"
        return InputError(f"{shown}: {what}; check user and password, or whether the signature has expired")
    return InputError(f"{shown}: the server answers {status} {phrase}; check the address in a browser")


def _wait(text: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which holds a number or a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None
