"""What names seem to mean: runs of instruments get a pattern, plain stacks none."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.errors import InputError
from bigimg.readers.folders.pattern import parse
from bigimg.readers.folders.proposal import proposed


def names(text: str, **values: object) -> list[str]:
    fields = text.replace("{{", "").replace("}}", "")
    assert "{" in fields
    each = itertools.product(*values.values())  # type: ignore[call-overload]
    return [text.format(**dict(zip(values, row, strict=True))) for row in each]


@pytest.mark.parametrize(
    ("found", "pattern"),
    [
        (names("img_{t:09}_{c}_{z:03}.tif", t=range(3), c=("DAPI", "Cy5"), z=range(4)), "img_{t:09}_{c}_{z:03}.tif"),
        (
            names("Pos{p}/img_{t:09}_{c}_{z:03}.tif", p=range(2), t=range(3), c=("DAPI", "Cy5"), z=range(4)),
            "Pos{field}/img_{t:09}_{c}_{z:03}.tif",
        ),
        (
            names("img_channel{c:03}_position000_time{t:09}_z{z:03}.tif", c=(0, 1), t=(0, 1), z=(0, 1)),
            "img_channel{c:03}_position000_time{t:09}_z{z:03}.tif",
        ),
        (
            names("{r} - {w:02}(fld {f} wv {c} - {c} z {z}).tif", r="BC", w=(2, 3), f=(1, 2), c=("a", "b"), z=(1, 2)),
            "{well}(fld {field} wv {c} - * z {z}).tif",
        ),
        (
            names("B - {w:02}(fld {f} wv {c} - {c}).tif", w=(2, 3), f=(1, 2), c=("a", "b")),
            "{well}(fld {field} wv {c} - *).tif",
        ),
        (
            names("r{r:02}c{w:02}f{f:02}p{z:02}-ch{c}sk1fk1fl1.tiff", r=(2, 3), w=(2, 3), f=(1, 2), z=(1, 2), c=(1, 2)),
            "{well}f{field:02}p{z:02}-ch{c}sk1fk1fl1.tiff",
        ),
        (
            names("exp_{w}_s{s}_w{c}F.TIF", w=("A01", "A02"), s=(1, 2), c=(1, 2)),
            "exp_{well}_s{field}_w{c}F.TIF",
        ),
        (names("s_{a:02}_{b:02}.tif", a=range(5), b=range(3)), "s_{t:02}_{z:02}.tif"),
        (names("tile_r{a}_c{b}.png", a=range(5), b=range(3)), "tile_r{y}_c{x}.png"),
        ([f"c{c}_z{z}_{1000 * c + 7 * z}.tif" for c in range(2) for z in range(30)], "c{c}_z{z}_*.tif"),
        (names("{c}_z{z}.tif", c=("DAPI", "GFP"), z=range(20))[1:], "{c}_z{z}.tif"),  # one is missing
        # plain stacks
        (names("z{z}.tif", z=range(30)), None),
        ([f"z{z:03}_2024010112{3 * z:04}.tif" for z in range(30)], None),
        ([f"s{z // 4}_{z}.tif" for z in range(30)], None),
        (["before.tif", "after.tif"], None),
        (["a.tif", "a_b.tif", "a_b_c.tif"], None),
        (["only.tif"], None),
    ],
)  # fmt: skip
def test_runs_and_stacks(found: list[str], pattern: str | None) -> None:
    guess = proposed(found)
    assert (guess and guess[0]) == pattern
    if pattern is not None:
        assert sorted(parse(pattern).match(found).names) == sorted(found)


def test_real_stacks_are_plain(data: Path) -> None:
    for name in ("em/lung_sem", "stack/brainreg_mouse_brain"):
        assert proposed([path.name for path in (data / name).iterdir()]) is None


def test_a_run_is_refused_with_the_pattern(tmp_path: Path) -> None:
    volume = np.arange(2 * 3 * 4 * 5, dtype="u1").reshape(2, 3, 4, 5)
    for t, z in np.ndindex(2, 3):
        tifffile.imwrite(tmp_path / f"t{t}_z{z}.tif", volume[t, z])
    words = r"6 files vary in several places, and seem to mean t 2 \(0 … 1\), z 3 \(0 … 2\); say what they mean, as"
    with pytest.raises(
        InputError, match=words + r" by pattern='t\{t\}_z\{z\}.tif' or take all along z by pattern='\*.t"
    ):
        bigimg.open(tmp_path)
    folder = re.escape(str(tmp_path))
    plain = (
        rf" in '.*t\{{t\}}_z\{{z\}}.tif' or take all along z by the folder {folder} with pattern='t\*.tif'$"
    )
    with pytest.raises(InputError, match=words + plain):
        bigimg.open(f"{tmp_path}/t*.tif")
    with pytest.raises(InputError, match=words + r" in '.*t\{t\}_z\{z\}.tif'$"):
        bigimg.open(f"{tmp_path}/[t]*.tif")
    np.testing.assert_array_equal(bigimg.open(tmp_path, pattern="t{t}_z{z}.tif"), volume)
    for every in ("*.tif", "t*.tif"):
        np.testing.assert_array_equal(bigimg.open(tmp_path, pattern=every), volume.reshape(6, 4, 5))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"several formats .* as in '.*t\{t\}_z\{z\}.tif'"):
        bigimg.open(tmp_path)
    (tmp_path / "notes.txt").unlink()
    for folder in ("A", "B"):
        (tmp_path / folder).mkdir()
    for path in tmp_path.glob("*.tif"):
        path.rename(tmp_path / ("AB"[int(path.name[1])]) / path.name[3:])
    with pytest.raises(InputError, match=r"holds 2 folders .* by pattern='\{c\}/z\{z\}.t"):
        bigimg.open(tmp_path)
