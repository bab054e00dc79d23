"""How often an attack is made: a few times in the ordinary tests, the full number under the marker ``faults``.

``BIGIMG_FAULTS`` scales the full numbers: ``BIGIMG_FAULTS=0.1 pytest -m faults`` makes a tenth of them.
"""

from __future__ import annotations

import os

import pytest

SCALE = float(os.environ.get("BIGIMG_FAULTS", "1"))
SEED = int(os.environ.get("BIGIMG_FAULTS_SEED", "0"))


each_way = pytest.mark.parametrize(
    "nursery", ["system", pytest.param("portable", marks=pytest.mark.faults)], indirect=True
)
"""Make the attack on runs that use what this system offers, and under the marker ``faults`` on portable ones too."""


def times(short: int, full: int) -> pytest.MarkDecorator:
    """Give the test the argument ``n``: ``short``, and under the marker ``faults`` the number that is promised."""
    scaled = max(short, round(full * SCALE))
    marked = pytest.param(scaled, id="full", marks=pytest.mark.faults)
    return pytest.mark.parametrize("n", [pytest.param(short, id="short"), marked])
