"""Even steps of coordinates, as numpy's linspace makes them."""

from __future__ import annotations

import numpy as np
import pytest

from bigimg.geometry.even import even_step


def test_even_and_not() -> None:
    assert even_step(np.linspace(3.0, 1.0, 5)) == -0.5
    assert even_step(np.array([0.0, 1.0, 2.2])) is None
    assert even_step(np.zeros(3)) is None


def test_values_that_are_not_all_known() -> None:
    numbers = np.array([1, 2, 5])
    assert even_step(np.linspace(10.0, 12.0, 5)[numbers - 1], numbers) == pytest.approx(0.5)
    assert even_step(np.array([0.0, 1.0, 2.0]), numbers) is None


def test_how_far_they_may_be() -> None:
    values = np.array([0.0, 1.05, 2.0])
    assert even_step(values) is None
    assert even_step(values, within=0.06) == 1.0
