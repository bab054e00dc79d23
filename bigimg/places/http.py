"""One answer of a web server: redirects followed, certificates checked, every refusal in a sentence.

The standard library does it, so that a core install opens URLs: ``urllib`` knows the proxies of the system,
and one file at a time gains nothing from an asynchronous client. Its own error and redirect handlers are left
out, since they would hand a password on to another host, and show addresses with their tokens.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import socket
import ssl
import time
import urllib.request
import warnings
from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from bigimg.errors import InputError, InputNotFoundError
from bigimg.places.address import redacted
from bigimg.version import __version__

MOST_REDIRECTS = 10
STALL = 30.0
"""Seconds without a byte after which a server is given up."""
LATER = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same question may be answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is given, in seconds."""

    tries: int = 5
    """Questions in a row that bring nothing new."""
    first_wait: float = 0.5
    """Before the second; doubled each time."""
    most_wait: float = 60.0
    """A server that asks for more is not waited for."""
    stall: float = STALL
    """Without a byte, or with hardly any."""


class TryAgain(Exception):
    """The question may succeed when it is asked again; never leaves this folder."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait
        """Seconds that the server asks for; None when it does not."""


def ask(
    url: str, headers: dict[str, str], *, insecure: bool = False, stall: float = STALL
) -> http.client.HTTPResponse:
    """Return the open answer to ``GET url`` with a status of 200, 206, 304 or 416.

    Parameters
    ----------
    url : str
        User and password in it are sent to that host alone.
    headers : dict
    insecure : bool
        Take any certificate; warned of.
    stall : float
        Seconds without an answer after which it is given up.

    Raises
    ------
    TryAgain
        The server is busy or gone for now.
    InputNotFoundError, InputError
        It refuses, for good.
    """
    shown = redacted(url)
    opener = _opener(insecure, shown)
    bare, login = _login(url)
    home, seen = _host(bare), set[str]()
    while True:
        if bare in seen or len(seen) > MOST_REDIRECTS:
            raise InputError(
                f"{shown}: the server redirects in a loop ({len(seen)} times); check the address"
            )
        seen.add(bare)
        sent = {"User-Agent": f"bigimg/{__version__}", "Accept-Encoding": "identity", **headers}
        if login is not None and _host(bare) == home:
            sent["Authorization"] = login
        response = _answer(opener, bare, sent, shown, stall)
        if response.status in (301, 302, 303, 307, 308):
            with response:
                bare = _next(bare, response.headers.get("Location"), shown)
            continue
        if response.status in (200, 206, 304, 416):
            return response
        with response:
            raise _refusal(response, shown)


def _opener(insecure: bool, shown: str) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if insecure:
        warnings.warn(f"{shown}: certificates are not checked (insecure)", UserWarning, stacklevel=4)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
    ):
        opener.add_handler(handler)
    return opener


def _answer(
    opener: urllib.request.OpenerDirector, url: str, headers: dict[str, str], shown: str, stall: float
) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse | None = opener.open(
            urllib.request.Request(url, headers=headers), timeout=stall
        )
    except URLError as error:
        _explain(error.reason, shown)
        raise TryAgain(f"the server cannot be reached ({_said(error.reason)})") from None
    except (http.client.InvalidURL, UnicodeError) as error:
        raise InputError(f"{shown}: is not an address ({_said(error)}); check it") from None
    except TimeoutError:
        raise TryAgain(f"the server says nothing for {stall:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        _explain(error, shown)
        raise TryAgain(f"the connection broke ({_said(error)})") from None
    assert (
        response is not None
    )  # one of the handlers takes http and https, and _next lets nothing else through
    return response


def _explain(reason: object, shown: str) -> None:
    """Raise for what asking again does not mend."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise InputError(
            f"{shown}: the certificate of the server is not valid ({reason.verify_message}); if you trust it all "
            "the same, use insecure=True"
        ) from None
    if isinstance(reason, socket.gaierror):
        raise InputError(
            f"{shown}: no server of this name is known; check the address and the network"
        ) from None


def _said(reason: object) -> str:
    return getattr(reason, "strerror", None) or " ".join(str(reason).split())[:100] or type(reason).__name__


def _login(url: str) -> tuple[str, str | None]:
    """Return the address as it is sent, and what to authorize with."""
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
    """Return where a redirect leads; a user in it is not ours to send."""
    if not location:
        raise InputError(f"{shown}: the server redirects to nowhere; check the address")
    target, _ = _login(urljoin(url, location))
    scheme = urlsplit(target).scheme.lower()
    if scheme not in ("http", "https"):
        raise InputError(
            f"{shown}: the server redirects to {scheme or 'nothing'}, not to the web; check the address"
        )
    if scheme == "http" and _host(url)[0] == "https":
        raise InputError(
            f"{shown}: the server redirects from https to http, which anyone may change; not followed"
        )
    return target


def _refusal(response: http.client.HTTPResponse, shown: str) -> Exception:
    status, phrase = response.status, http.client.responses.get(response.status, "unknown")
    if status in LATER:
        return TryAgain(f"the server answers {status} {phrase}", _wait(response.headers.get("Retry-After")))
    if status in (404, 410):
        return InputNotFoundError(
            f"{shown}: the server has no such file ({status} {phrase}); check the address"
        )
    if status in (401, 403, 407):
        return InputError(
            f"{shown}: the server does not let us read it ({status} {phrase}); check user and password, or a "
            "signature that has run out"
        )
    return InputError(f"{shown}: the server answers {status} {phrase}; check the address in a browser")


def _wait(text: str | None) -> float | None:
    """Return the seconds of a ``Retry-After``: a number or a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
