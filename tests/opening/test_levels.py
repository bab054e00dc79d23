"""Levels: of a store, a pyramid, a reader and an array alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.opening.levels import Levels, levels_of_reader
from bigimg.opening.open import levels_of_source, open_levels

SIDES = (70, 35, 18)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("levels") / "a.ome.zarr"
    pixels = np.arange(70 * 70, dtype=np.uint16).reshape(70, 70)
    bigimg.write(bigimg.from_array(pixels), path, chunks=32, memory="2GB", progress=False)
    return path


@pytest.mark.parametrize("of", ["path", "Store", "reader", "tree"])
def test_every_source_of_a_pyramid_has_the_same_levels(of: str, store: Path) -> None:
    sources: dict[str, Any] = {
        "path": store, "Store": open_store(store), "reader": StoreReader(open_store(store)),
        "tree": bigimg.open_pyramid(store),
    }  # fmt: skip
    images, readers = open_levels(sources[of]), levels_of_source(sources[of])
    assert len(images) == len(readers) == 3
    assert [image.sizes["y"] for image in images] == [reader.spec.shape[0] for reader in readers] == [*SIDES]
    assert images[-1].sizes["x"] == readers[-1].spec.shape[1] == 18
    assert [reader.spec.shape[0] for reader in readers.starting(-2)] == [35, 18]
    for wanted, level in ((18, 2), (18.5, 1), (35, 1), (36, 0), (500, 0)):
        assert images.fitting({"x": wanted}) == readers.fitting({"x": wanted}) == level
    for missing in (3, -4):
        with pytest.raises(UsageError, match=rf"level {missing} of 3; levels are 0 to 2, -1 the last"):
            images[missing]


@pytest.mark.parametrize("wrap", [lambda a: a, bigimg.from_array])
def test_an_array_has_one_level(wrap: Any) -> None:
    source = wrap(np.zeros((8, 9)))
    for levels in (open_levels(source), levels_of_source(source)):
        assert (len(levels), levels.fitting({"y": 1})) == (1, 0)
        assert levels[-1] is levels.base
        with pytest.raises(UsageError, match="level 1 of an image without levels"):
            levels[1]


def test_levels_are_counted_from_that_of_the_reader(store: Path) -> None:
    reader = StoreReader(open_store(store), 1)
    levels = levels_of_reader(reader)
    assert levels.base is reader
    assert [each.spec.shape[0] for each in levels] == [35, 18]
    assert bigimg.open(reader).shape == (35, 35)


def test_a_level_is_made_once_and_when_it_is_asked_for() -> None:
    made: list[int] = []
    levels = Levels(3, lambda level: made.append(level) or level * 10, "numbers").map(lambda n: n + 1)  # type: ignore
    assert made == []
    assert (levels[2], levels[-1], levels[0]) == (21, 21, 1)
    assert made == [2, 0]
