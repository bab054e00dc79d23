"""Planes that were never written are refused, or holes."""

from __future__ import annotations

import numpy as np
import pytest

from bigimg.errors import InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.readers.never_written import checked_written, unwritten

SPEC = ImageSpec((Axis("t", 2), Axis("z", 3), Axis("y", 5), Axis("x", 7)), np.dtype("u2"), (1, 1, 5, 7))


def test_all_planes_are_there() -> None:
    assert checked_written(SPEC, np.ones((2, 3), bool), "tz", source="a.nd2", allow_partial=False) is SPEC


def test_missing_planes_are_named() -> None:
    written = np.ones((2, 3), bool)
    written[1, 1:] = False
    said = r"a.nd2: 2 of 6 planes were never written \(t = 1, z = 1 is the first\); what is missing is not known; "
    said += "record it again, or take what is there by allow_partial=True"
    with pytest.raises(InputError, match=said):
        checked_written(SPEC, written, "tz", source="a.nd2", allow_partial=False)


def test_missing_planes_are_holes() -> None:
    written = np.ones((2, 3), bool)
    written[1, 1:] = False
    found = checked_written(SPEC, written, "tz", source="a.nd2", allow_partial=True)
    assert found.missing == ((slice(1, 2), slice(1, 3), slice(0, 5), slice(0, 7)),)


def test_nothing_was_written() -> None:
    with pytest.raises(InputError, match="nothing is there"):
        checked_written(SPEC, np.zeros((2, 3), bool), "tz", source="a.nd2", allow_partial=True)


def test_missing_chunks_are_holes_to_the_edge() -> None:
    written = np.ones((2, 3, 2, 2), bool)
    written[0, 2, 1, 1] = False
    said = r"1 of 24 chunks were never written \(t = 0, z = 2, y = 3, x = 4 is the first\)"
    said += "; what is missing is not known; write it again, or if its writer leaves out empty chunks, take what is"
    with pytest.raises(InputError, match=said):
        checked_written(SPEC, written, "tzyx", source="a.h5", allow_partial=False, steps=(1, 1, 3, 4))
    found = checked_written(SPEC, written, "tzyx", source="a.h5", allow_partial=True, steps=(1, 1, 3, 4))
    assert found.missing == ((slice(0, 1), slice(2, 3), slice(3, 5), slice(4, 7)),)


def test_more_chunks_than_a_file_has() -> None:
    with pytest.raises(InputError, match="1000000000000000000 chunks"):
        unwritten("a.n5", (10**9, 10**9))
