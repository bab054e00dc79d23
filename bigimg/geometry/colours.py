"""Colours of channels: those of the file, and for channels that have none the same in every picture and every store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bigimg.geometry.spec import RGBA, Channel

SPARE = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF4040", "4060FF")
"""Colours of channels that have none, in this order; most people can tell green from magenta."""
PICTURE = {channel.name: channel.color for channel in RGBA} | {"grey": "FFFFFF"}
"""Channels of one colour picture."""


def is_picture(channels: Sequence[Channel], count: int) -> bool:
    """Return whether ``count`` channels are one colour picture: RGB or RGBA by name, or three without names.

    Four without names may be four stains.
    """
    if not channels:
        return count == 3
    return count in (3, 4) and {c.name for c in channels} <= PICTURE.keys()


def lights_of(channels: Sequence[Channel], count: int) -> tuple[str, ...]:
    """Return a colour for each of ``count`` channels: its own, else that of a picture, else the next of ``SPARE``.

    A single channel is white.

    >>> lights_of((Channel("DAPI", "0000FF"), Channel("GFP"), Channel("Cy5")), 3), lights_of((), 3)
    (('0000FF', '00FF00', 'FF00FF'), ('FF0000', '00FF00', '0000FF'))
    """
    named = channels or (RGBA[:count] if is_picture(channels, count) else ())
    of_picture = PICTURE if is_picture(channels, count) else {}
    found = [channel.color or of_picture.get(channel.name) for channel in named] or [None] * count
    own = [color and color.upper() for color in found]
    unused = [each for each in SPARE if each not in own] or SPARE
    spare = itertools.cycle(unused if count > 1 else ["FFFFFF"])
    return tuple(color or next(spare) for color in own)
