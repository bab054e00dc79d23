"""Answers of web servers to aiohttp, bounded: in bytes by what was asked, in time by a deadline.

aiohttp reads all that a server sends, and waits as long as something comes. So a server could fill the memory, or
send its headers a byte a minute.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any

from bigimg.places.http import LEAST_RATE, MOST_WHOLE


@cache
def client_options(stall: float) -> dict[str, Any]:
    """Return options of ``aiohttp.ClientSession`` for bounded answers.

    Parameters
    ----------
    stall : float
        Seconds for the headers, and without a byte, or with very few.
    """
    import aiohttp

    class Answer(aiohttp.ClientResponse):
        """The answer to one request."""

        async def start(self, connection: Any) -> Any:
            """Wait for the headers."""
            try:
                async with asyncio.timeout(stall):
                    return await super().start(connection)
            except TimeoutError:
                raise TimeoutError(f"the server sends no headers within {stall:g} s") from None
            except aiohttp.ClientResponseError as error:  # it would pass for an answer of 400
                raise ValueError(f"the server sends no HTTP: {error.message}") from None

        async def read(self) -> bytes:
            """Return the bytes that were asked for, also of a server that sends more."""
            try:
                return await _body(self, stall)
            finally:
                self.close()  # does nothing after the last byte

        async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
            """Return the bytes as text."""
            return (await self.read()).decode(encoding or "utf-8", errors)

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
    return {"response_class": Answer, "timeout": timeout}


async def _piece(answer: Any, stall: float) -> bytes:
    """Return the next bytes of the body, none at its end."""
    try:
        async with asyncio.timeout(stall):
            piece: bytes = await answer.content.readany()
            return piece
    except TimeoutError:
        raise TimeoutError(f"the server stalls: no byte for {stall:g} s") from None


async def _body(answer: Any, stall: float) -> bytes:
    """Return the part of the body that was asked for.

    Raises
    ------
    ValueError
        The object is larger than any that is fetched whole.
    TimeoutError
        The bytes come too slowly.
    """
    asked = re.fullmatch(r"bytes=(\d*)-(\d+)", answer.request_info.headers.get("Range", ""))
    most, skip, last = MOST_WHOLE, 0, None
    if answer.status >= 400:
        return await _piece(answer, stall)
    if asked is not None and asked[1]:
        most = int(asked[2]) + 1 - int(asked[1])
        skip = int(asked[1]) if answer.status == 200 else 0  # a server that knows no ranges sends all
    elif asked is not None:
        last = int(asked[2])
        most = last if answer.status == 206 else MOST_WHOLE
    found = bytearray()
    loop = asyncio.get_running_loop()
    since, window = loop.time(), 0
    while piece := await _piece(answer, stall):
        window += len(piece)
        found += piece[skip:]
        skip = max(0, skip - len(piece))
        if len(found) > most:
            if asked is None or (last is not None and answer.status == 200):
                raise ValueError(f"it is larger than {most} bytes, and the server does not send a part alone")
            break
        if len(found) == most and asked is not None and last is None:
            break
        if loop.time() - since >= stall:
            if window < LEAST_RATE * stall:
                raise TimeoutError(f"the server stalls: {window} bytes in {stall:g} s")
            since, window = loop.time(), 0
    return bytes(found[:most] if last is None else found[-last:])
