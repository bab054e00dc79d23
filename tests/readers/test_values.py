"""Numbers and colours in words."""

from __future__ import annotations

import pytest

from bigimg.readers.values import color_in, color_of, finite


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.5", 0.5), (" -3e2 ", -300.0), ("", None), (None, None), ("nan", None), ("inf", None), ("1,5", None)],
)
def test_finite(text: str | None, expected: float | None) -> None:
    assert finite(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#FF00ff80", "00FF80"), (" #00FF80 ", "00FF80"), ("00ff80", "00FF80"), ("#0F8", None), ("nonsense", None),
        ("zzzzzz", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_colors(text: str | None, expected: str | None) -> None:
    assert color_in(text) == expected


def test_parts() -> None:
    assert color_of((255, 0, 8)) == "FF0008"
