"""How often memory that was let go is given back."""

from __future__ import annotations

import pytest

from bigimg.planning import heap


def test_it_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(heap, "_trim", lambda: asked.append)
    one = heap.Heap()
    for _ in range(10):
        one.made(heap.EVERY_BYTES // 4)
    assert asked == [0, 0]


def test_the_library_is_asked_where_it_has_the_function() -> None:
    heap._trim()(0)
