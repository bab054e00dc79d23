"""Names in the order that people count, and gaps told as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.readers.folders.numbering import natural_key, numbering_notes, patterns_note


def test_natural_order() -> None:
    names = ["b1", "a10", "a2", "A3", "a", "a2b10", "a2b9", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "a2", "a2b9", "a2b10", "A3", "a10", "b1"]


@given(st.lists(st.integers(0, 10**20), min_size=1, unique=True), st.booleans())
def test_numbers_sort_as_numbers(numbers: list[int], padded: bool) -> None:
    names = [f"x_{n:030d}.tif" if padded else f"x_{n}.tif" for n in numbers]
    found = sorted(names, key=natural_key)
    assert [int(name[2:-4]) for name in found] == sorted(numbers)


@given(st.integers(0, 50), st.integers(1, 9), st.sets(st.integers(1, 38), max_size=8))
def test_every_gap_is_counted(start: int, step: int, absent: set[int]) -> None:
    """Forty planes with the first two there, so that the step is known, and the last."""
    there = [i for i in range(42) if i - 1 not in absent or i in (0, 1)]
    names = [f"2024-05-01_z{start + step * i:04d}.tif" for i in there]
    notes = numbering_notes(names)
    missing = 42 - len(there)
    if not missing:
        assert notes == ()
    else:
        assert f"({missing} plane" in notes[0]
        first = next(i for i in range(42) if i not in there)
        assert f"lacks {start + step * first}" in notes[0]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a1.tif", "a2.tif"], ""),
        (["z0.jp2", "z10.jp2", "z20.jp2"], ""),  # every tenth, and the digit of the ending is none of theirs
        (["only.tif"], ""),
        (["a.tif", "b.tif"], "2 patterns ('a', 'b')"),
        (["c0_z1.tif", "c0_z2.tif", "c1_z1.tif"], "differ in 2 numbers"),
        (["z1.tif", "z01.tif"], "more than once"),
        (["z1.tif", "z2.tif", "z900000.tif"], "unevenly spaced"),
        ([f"z{i * i}.tif" for i in range(3, 10)], "the numbering lacks 10-15"),
    ],
)
def test_notes(names: list[str], words: str) -> None:
    notes = numbering_notes(names) + patterns_note(names)
    assert (len(notes) == 1 and words in notes[0]) if words else notes == ()


def test_few_gaps_are_listed() -> None:
    (note,) = numbering_notes([f"z{i}.tif" for i in (0, 1, 3, 5, 7, 9, 11, 13)])
    assert (
        note
        == "the numbering lacks 2, 4, 6, 8, 10, … (6 planes); those that are there lie next to one another"
    )
