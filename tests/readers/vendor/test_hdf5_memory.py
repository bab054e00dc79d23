"""Inside the budget: measured peak <= planned <= ``memory`` for Imaris files, packed and not, and for MRC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conversion import test_memory as pass_memory
from tests.readers.vendor.hdf5_files import imaris
from tests.readers.volumes.test_mrc import mrc

pytestmark = [pass_memory.pytestmark, pytest.mark.nightly]


@pytest.mark.parametrize("packing", [{}, {"shuffle": True}, {"compression": None}])
def test_imaris(packing: dict[str, Any], tmp_path: Path) -> None:
    array = pass_memory.picture((1, 2, 96, 1024, 1000), "u2")
    make = lambda path: imaris(path, array, chunks=(8, 256, 256), **packing)  # noqa: E731
    pass_memory.check(("a.ims", make, {"memory": "300MB"}), "imaris", tmp_path)


def test_mrc(tmp_path: Path) -> None:
    make = lambda path: mrc(path, pass_memory.picture((100, 1000, 1000), "f4"))  # noqa: E731
    pass_memory.check(("a.mrc", make, {"memory": "350MB"}), "mrc", tmp_path)
