"""Inside the budget: each verb that reads pixels, in a process of its own, with all that Python and libraries take.

A cell is either refused with a number, which then works, or the peak is at most the budget and the result is numpy's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import bigimg
from bigimg.cli import VERBS, cli
from bigimg.types import Array
from tests.running import Ended
from tests.running import bigimg as run

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the high-water mark of memory is Linux's to tell"
)
SIDE, SMALL, DARK = 5000, 1250, 100


class Images(NamedTuple):
    """The same pixels as files and stores; a volume and a mask of the picture."""

    folder: Path
    rgb: Array
    volume: Array
    mask: Array


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """75 MB of RGB and 113 MB of 16 bits: what is left of the smallest budget is a third of either."""
    folder = tmp_path_factory.mktemp("budgets")
    line = np.arange(SIDE, dtype=np.uint32) // 16
    grey = np.add.outer(line, line)
    rgb = np.stack([grey % 251, grey % 127, grey % 83], -1).astype(np.uint8)
    rgb ^= np.resize(np.random.default_rng(0).integers(0, 4, 1 << 16, np.uint8), rgb.shape)
    volume = np.tile(np.random.default_rng(1).integers(0, 4000, (32, 64, 64), np.uint16), (3, 12, 12))
    mask = rgb[..., 0] > 120
    tifffile.imwrite(
        folder / "a.tif",
        rgb,
        tile=(512, 512),
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 1},
    )
    Image.fromarray(rgb).save(folder / "a.png", compress_level=1)
    np.save(folder / "v.npy", volume)
    np.save(folder / "m.npy", mask)
    for name in ("a.tif", "v.npy", "m.npy"):
        bigimg.convert(folder / name, folder / f"{name[0]}.ome.zarr", progress=False)
    bigimg.pack(folder / "a.ome.zarr", folder / "a.ozx", progress=False)
    return Images(folder, rgb, volume, mask)


class Row(NamedTuple):
    """What is asked, ``OUT`` for the target; and what the result is compared with."""

    words: str
    check: Callable[[Images, Path, Ended], None]


def picture(made: Callable[[Images], Array]) -> Callable[[Images, Path, Ended], None]:
    def check(images: Images, out: Path, _: Ended) -> None:
        with Image.open(out) as image:
            np.testing.assert_array_equal(np.asarray(image), made(images))

    return check


def sized(*shape: int) -> Callable[[Images, Path, Ended], None]:
    def check(_: Images, out: Path, __: Ended) -> None:
        with Image.open(out) as image:
            found = np.asarray(image)
        assert found.std() > 10  # something is drawn
        assert not shape or found.shape[:2] == shape

    return check


def counted(key: str, values: Callable[[Images], list[Any]]) -> Callable[[Images, Path, Ended], None]:
    def check(images: Images, _: Path, ended: Ended) -> None:
        found = [row[key] for row in ended.json["channels"]]
        np.testing.assert_allclose(found, values(images), rtol=1e-12)

    return check


def store(made: Callable[[Images], Array]) -> Callable[[Images, Path, Ended], None]:
    def check(images: Images, out: Path, _: Ended) -> None:
        np.testing.assert_array_equal(np.asarray(zarr.open_array(out / "0", mode="r")), made(images))

    return check


def nothing(_: Images, __: Path, ___: Ended) -> None:
    """Its exit code says it."""


def shrunk(rgb: Array) -> Array:
    windows = rgb.reshape(SMALL, SIDE // SMALL, SMALL, SIDE // SMALL, 3).mean((1, 3))
    return np.rint(windows).astype(np.uint8)


def stretched(plane: Array) -> Array:
    low, high = np.percentile(plane, (0.1, 99.9))
    return np.rint(np.clip((plane - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def cut(images: Images, out: Path, _: Ended) -> None:
    patches = np.asarray(zarr.open_group(out, mode="r")["image"])
    first = images.rgb[:500, 500:1000]
    np.testing.assert_array_equal(patches.reshape(-1, *patches.shape[-3:])[1], np.moveaxis(first, -1, 0))


def bins(images: Images, _: Path, ended: Ended) -> None:
    edges, row = ended.json["edges"], ended.json["channels"][0]["counts"]
    np.testing.assert_array_equal(row, np.histogram(images.rgb[..., 0][images.mask], edges)[0])


ROWS: dict[str, tuple[Row, ...]] = {
    "slice": (
        Row("a.tif OUT.png --level 0", picture(lambda images: images.rgb)),
        Row("a.ome.zarr OUT.tif --level 0", picture(lambda images: images.rgb)),
        Row("v.npy OUT.png --at 40", picture(lambda images: stretched(images.volume[40]))),
        Row("a.ome.zarr OUT.png --level 0 --figure", sized()),
    ),
    "thumbnail": (
        Row(f"a.png OUT.png --max {SMALL}", picture(lambda images: shrunk(images.rgb))),
        Row("a.ome.zarr OUT.png --max 600 --figure", sized(600, 600)),
    ),
    "montage": (Row("v.npy OUT.png --n 4", sized()),),
    "ortho": (Row("v.npy OUT.png", sized()), Row("v.ome.zarr OUT.png --at 40,50,60", sized())),
    "stats": (
        Row("a.tif --where m.npy --json", counted("mean", lambda i: i.rgb[i.mask].mean(0).tolist())),
        Row("v.npy --json", counted("max", lambda i: [int(i.volume.max())])),
    ),
    "histogram": (Row("a.png --where m.npy --range 0,256 --json", bins),),
    "fraction": (
        Row(
            f"a.tif --below {DARK} --json",
            counted("fraction", lambda i: (i.rgb < DARK).mean((0, 1)).tolist()),
        ),
    ),
    "mask": (
        Row(f"a.ome.zarr OUT.zarr --above {DARK}", store(lambda i: np.moveaxis(i.rgb > DARK, -1, 0))),
        Row(f"a.png OUT.zarr --below {DARK} --any", store(lambda i: (i.rgb < DARK).any(2))),
    ),
    "patches": (
        Row("a.tif OUT.zarr --size 500", cut),
        Row("a.ome.zarr OUT.zarr --size 500 --where m.ome.zarr --min-fraction 0", cut),
    ),
    "downsample": (
        Row("a.ome.zarr OUT.zarr --factor 4", store(lambda i: np.moveaxis(shrunk(i.rgb), -1, 0))),
    ),
    "export": (Row("a.ome.zarr OUT.png", picture(lambda images: images.rgb)),),
    "convert": (Row("a.png OUT.zarr", store(lambda i: np.moveaxis(i.rgb, -1, 0))),),
    "plan": (Row("a.png OUT.zarr", nothing),),
    "stack": (Row("v.npy v.npy OUT.zarr --axis t", store(lambda i: np.stack([i.volume, i.volume]))),),
    "pack": (Row("a.ome.zarr OUT.ozx", nothing),),
    "unpack": (Row("a.ozx OUT.zarr", store(lambda i: np.moveaxis(i.rgb, -1, 0))),),
    "verify": (Row("a.ome.zarr a.png", nothing), Row("v.ome.zarr v.npy", nothing)),
    "demo": (Row("OUT.zarr --size 3000x3000", nothing),),
}
READ_NO_PIXEL = {"info", "formats", "clean", "edit", "upgrade"}
WITHOUT_BUDGET = {"view"}
"""It opens a window and is looked at as long as a person likes."""
CELLS = [(verb, row) for verb, rows in ROWS.items() for row in rows]


def test_each_verb_that_reads_pixels_has_a_row() -> None:
    assert set(ROWS) | READ_NO_PIXEL | WITHOUT_BUDGET == set(VERBS)
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        assert any(option.name == "memory" for option in command.params) == (verb in ROWS), verb


def check(verb: str, row: Row, budget: int, images: Images, folder: Path, refusals: int = 1) -> None:
    """Run the cell; where it is refused, once more with the number that was named."""
    for turn in range(refusals + 1):
        here = folder / str(turn)
        here.mkdir()
        words = [
            str(here / word) if word.startswith("OUT") else str(images.folder / word) if (images.folder / word).exists()
            else word
            for word in row.words.split()
        ]  # fmt: skip
        ended = run(verb, *words, "--memory", f"{budget}MB", scratch=here, timeout=120)
        if ended.code != 6:
            break
        assert f"allowed {budget} MB" in ended.line
        named = re.search(r"--memory (\d+)MB", ended.line)
        assert named is not None, ended.line
        assert not [path for path in here.iterdir() if path.name != "peak"], "something was written before"
        budget = int(named[1])
    assert ended.code == 0, ended.err
    assert ended.peak_bytes <= budget * 10**6, f"{ended.peak_bytes / 1e6:.0f} MB of {budget}"
    out = next((Path(word) for word in words if word.startswith(str(here))), here)
    row.check(images, out, ended)


@pytest.mark.parametrize(("verb", "row"), CELLS, ids=[f"{verb} {row.words}" for verb, row in CELLS])
def test_200_megabytes(verb: str, row: Row, images: Images, tmp_path: Path) -> None:
    check(verb, row, 200, images, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("budget", [150, 300, 400])
@pytest.mark.parametrize(("verb", "row"), CELLS, ids=[f"{verb} {row.words}" for verb, row in CELLS])
def test_other_budgets(verb: str, row: Row, budget: int, images: Images, tmp_path: Path) -> None:
    # If not even the libraries of the first step fit, that step names what it needs, and a later step needs more.
    check(verb, row, budget, images, tmp_path, refusals=3 if budget < 200 else 1)


@pytest.mark.parametrize("name", ["a.ome.zarr", "v.npy"])
def test_a_picture_that_no_budget_holds_names_the_largest_that_does(
    name: str, images: Images, tmp_path: Path
) -> None:
    found = run(
        "thumbnail", images.folder / name, tmp_path / "a.png", "--max", 5000, "--figure", "--memory", "300MB",
        scratch=tmp_path,
    )  # fmt: skip
    assert found.code == 6
    largest = re.search(r"use --max (\d+)", found.line)
    assert largest is not None, found.line
    again = run(
        "thumbnail", images.folder / name, tmp_path / "a.png", "--max", largest[1], "--figure", "--memory", "300MB",
        scratch=tmp_path,
    )  # fmt: skip
    assert again.code == 0, again.err
    assert again.peak_bytes <= 300e6
    assert 500 < int(largest[1]) < 1200
