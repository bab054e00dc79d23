"""Files of electron microscopes through openreadout: pixels of who made them, spacing, names, damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimg.errors import BigimgError, MissingExtraError, UsageError
from bigimg.geometry.region import full
from bigimg.readers.registry import find_format, open_file
from bigimg.readers.vendor.readout import ReadoutReader
from bigimg.testing import check_reader
from tests.readers.vendor.electron_files import dm, emd, ser

STACK = np.random.default_rng(2).integers(0, 60000, (3, 20, 31)).astype(np.uint16)
MADE: dict[str, Callable[[Path], Path]] = {
    "a.dm3": lambda path: dm(path, STACK, version=3),
    "a.dm4": lambda path: dm(path, STACK),
    "a.ser": lambda path: ser(path, STACK),
    "a.emd": lambda path: emd(path, STACK),
}


@pytest.mark.vendors
@pytest.mark.parametrize("name", MADE)
def test_pixels_and_spacing(name: str, tmp_path: Path):
    pytest.importorskip("openreadout")
    path = MADE[name](tmp_path / name)
    assert find_format(path).name == "readout"
    expected = STACK[:, ::-1] if name == "a.ser" else STACK  # rows of a SER run upwards
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_file(path).spec
    assert spec.dims == (("z" if ".dm" in name else "t"), "y", "x")
    assert [axis.spacing for axis in spec.axes[1:]] == pytest.approx(
        [0.0002 if name == "a.emd" else 0.0005] * 2
    )
    assert spec.axes[2].unit == "micrometer"
    assert any("openreadout, which is young" in note for note in spec.notes)
    assert "Roe" not in f"{spec.meta} {spec.channels} {spec.notes}"


@pytest.mark.vendors
@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8"])
def test_types(kind: str, tmp_path: Path):
    pytest.importorskip("openreadout")
    pixels = (STACK[0] % 100).astype(kind)
    for path in (dm(tmp_path / "a.dm3", pixels, version=3), ser(tmp_path / "a.ser", pixels[None, ::-1])):
        reader = open_file(path)
        assert reader.spec.dtype == np.dtype(kind)
        np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), pixels)
    with pytest.raises(UsageError, match="no series 1"):
        open_file(tmp_path / "a.dm3", series=1)


@pytest.mark.vendors
@pytest.mark.parametrize("name", MADE)
def test_damage_is_named_or_changes_nothing(name: str, tmp_path: Path):
    """Mutants: cut, or with a flipped bit. No checksum guards the pixels and numbers of these formats."""
    pytest.importorskip("openreadout")
    path = MADE[name](tmp_path / name)
    reader = open_file(path)
    expected, content = reader.read(full(reader.spec.shape)), path.read_bytes()
    outcomes, seeded = Counter[str](), np.random.default_rng(8)
    for i in range(20):
        mutant = bytearray(content)
        if i % 2:
            mutant = mutant[: seeded.integers(16, len(content))]
        else:
            mutant[seeded.integers(16, len(content))] ^= 1 << int(seeded.integers(8))
        path.write_bytes(mutant)
        try:
            found = open_file(path)
            pixels = found.read(full(found.spec.shape))
        except BigimgError as error:
            outcomes["named" if name in str(error) else "not named"] += 1
        else:
            same = pixels.shape == expected.shape and (pixels == expected).all()
            outcomes["the same" if same else f"other {'cut' if i % 2 else 'flip'}"] += 1
    print(name, outcomes)
    assert not outcomes["not named"]
    assert not outcomes["other cut"]


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "openreadout", None)
    with pytest.raises(
        MissingExtraError, match=r"a.dm3: is read by openreadout, which is not installed: .*readout"
    ):
        open_file(dm(tmp_path / "a.dm3", STACK, version=3))


@pytest.mark.vendors
def test_a_plane_of_tiles_is_read_tile_by_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    openreadout = pytest.importorskip("openreadout")
    reader = ReadoutReader(dm(tmp_path / "a.dm3", STACK, version=3))
    reader.spec = replace(reader.spec, chunks=(1, 8, 16))  # no file of tiles can be made here
    asked: list[tuple[int, ...]] = []

    class Seen(openreadout.File):
        def read_plane(self, *args: Any, region: tuple[int, ...], **place: int) -> Any:
            asked.append(region)
            return super().read_plane(*args, region=region, **place)

    reader.close()
    monkeypatch.setattr(openreadout, "File", Seen)
    np.testing.assert_array_equal(reader.read((slice(1, 3), slice(5, 19), slice(3, 31))), STACK[1:, 5:19, 3:])
    assert len(asked) == 2 * 3 * 2
    assert max(width * height for _, _, width, height in asked) <= 8 * 16
