"""Planes that were never written are refused, or holes."""

from __future__ import annotations

import numpy as np
import pytest

from bigimg.errors import InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.readers.never_written import checked_written

SPEC = ImageSpec((Axis("t", 2), Axis("z", 3), Axis("y", 5), Axis("x", 7)), np.dtype("u2"), (1, 1, 5, 7))


def test_all_planes_are_there() -> None:
    assert checked_written(SPEC, np.ones((2, 3), bool), "tz", source="a.nd2", allow_partial=False) is SPEC


def test_missing_planes_are_named() -> None:
    written = np.ones((2, 3), bool)
    written[1, 1:] = False
    said = r"a.nd2: 2 of 6 planes were never written \(t = 1, z = 1 is the first\); what is missing is not known; "
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
