"""Sizes a person writes, and the memory that the machine has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.errors import UsageError
from bigimg.planning import memory


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512MB", 512 * 10**6),
        ("1GiB", 2**30),
        ("1.5 gb", 15 * 10**8),
        ("2k", 2000),
        ("77", 77),
        (10**9, 10**9),
        ("1tib", 2**40),
    ],
)
def test_sizes(text, count):
    assert memory.as_bytes(text) == count


@pytest.mark.parametrize("text", ["", "lots", "MB", "-5MB", "5 XB", "0", "0.1", "1e3", "5 i"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="512MB"):
        memory.as_bytes(text)


@given(st.integers(1, 10**15))
def test_human_sizes_have_three_digits(count):
    number, unit = memory.human_bytes(count).split()
    scale = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert float(number) * scale == pytest.approx(count, rel=0.006)


def test_the_variable_and_the_argument_come_before_the_default(monkeypatch):
    monkeypatch.setenv("BIGIMG_MEMORY", "123MB")
    assert memory.budget_bytes(None) == 123 * 10**6
    assert memory.budget_bytes("1GB") == 10**9
    monkeypatch.delenv("BIGIMG_MEMORY")
    assert 0 < memory.budget_bytes(None) <= memory.MOST
