"""Each function and each verb of a source takes all options of it: for what is cut, named by a pattern, or several."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from matplotlib.figure import Figure

import bigimg
from bigimg.cli import VERBS, cli
from bigimg.cli.options import OPENING, SOURCE, Verb
from bigimg.errors import BigimgError, UsageError
from bigimg.types import Opening
from bigimg.viewing import figures
from bigimg.viewing.napari.layers import layers_of
from bigimg.viewing.preview import preview

SHAPE = (2, 3, 48, 64)
OPTIONS: dict[str, dict[str, Any]] = {
    "cut.tif": {"allow_partial": True}, "folder": {"pattern": "c{c}_z{z}.tif"}, "pages.tif": {"pages": "c=2,z=3"},
}  # fmt: skip
"""Options without which each source is refused, or has no channels."""


def no_mask(function: Any) -> Any:
    """Return a call of what measures masks, which says of an image, once it is open, that it is none."""

    def call(source: Any, **opening: Any) -> None:
        try:
            function(source, **opening)
        except UsageError as error:
            if "true and false" not in str(error):
                raise

    return call


CALLS: dict[str, Any] = {
    "open": bigimg.open, "open_pyramid": bigimg.open_pyramid, "imread": bigimg.imread, "info": bigimg.info,
    "stats": bigimg.stats, "histogram": bigimg.histogram, "otsu": bigimg.otsu, "thumbnail": bigimg.thumbnail,
    "rescale": bigimg.rescale, "build_pyramid": bigimg.build_pyramid, "montage": bigimg.montage,
    "show": bigimg.show, "ortho": bigimg.ortho, "with_geometry": bigimg.with_geometry, "view": layers_of,
    "fraction": no_mask(bigimg.fraction), "area": no_mask(bigimg.area),
    "percentile": lambda img, **opening: bigimg.percentile(img, 50, **opening),
    "sweep": lambda img, **opening: bigimg.sweep(img, [9], **opening),
    "mask": lambda img, **opening: bigimg.mask(img, below=9, **opening),
    "apply_mask": lambda img, **opening: bigimg.apply_mask(img, np.ones(SHAPE, bool), **opening),
    "plane": lambda img, **opening: bigimg.plane(img, "z", **opening),
    "crop": lambda img, **opening: bigimg.crop(img, {"y": (2, 9)}, **opening),
    "region": lambda img, **opening: bigimg.region(img, (0, 0, 0), (1, 9, 9), **opening),
    "profile": lambda img, **opening: bigimg.profile(img, (0, 0, 0), (2, 9, 9), **opening),
    "downsample": lambda img, **opening: bigimg.downsample(img, 2, **opening),
    "resize": lambda img, **opening: bigimg.resize(img, (9, 9), **opening),
    "gray": lambda img, **opening: bigimg.gray(img, method="mean", **opening),
    "map": lambda img, **opening: bigimg.map(img, np.sqrt, **opening),
    "patches": lambda img, **opening: bigimg.patches(img, (16, 16), **opening),
    "map_patches": lambda img, **opening: bigimg.map_patches(np.copy, img, (16, 16), **opening),
    "stack": lambda img, **opening: bigimg.stack([img, img], "t", **opening),
    "browse": lambda img, **opening: bigimg.browse(img, figure=Figure(), **opening),
    "plan": lambda img, **opening: bigimg.plan(img, "x.ome.zarr", probe=False, **opening),
}  # fmt: skip
MORE = {
    "preview": preview, "figures.histogram": figures.histogram, "figures.sweep": figures.sweep,
    "montage of images": lambda img, **opening: bigimg.montage([img, img], **opening),
}  # fmt: skip
WRITES = {"convert", "write", "export", "verify", "convert_all"}
"""Functions whose options are those of a verb, which is tested below."""
NO_SOURCE = {"formats", "from_array", "reassemble", "open_plate", "pack", "unpack", "edit", "upgrade"}
TARGETS: dict[str, list[str]] = {
    "convert": ["a.ome.zarr"], "plan": ["a.ome.zarr"], "export": ["a.npy"], "slice": ["a.png"],
    "thumbnail": ["b.png"], "montage": ["c.png"], "ortho": ["d.png"], "mask": ["m.ome.zarr", "--below", "9"],
    "downsample": ["s.npy", "--factor", "2"], "patches": ["patches", "--size", "16,16"],
    "stack": ["st.ome.zarr", "--axis", "t"], "fraction": ["--below", "9"],
}  # fmt: skip


COMMANDS = {verb: found for verb in VERBS if (found := cli.get_command(click.Context(cli), verb))}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    pixels = np.random.default_rng(3).integers(0, 99, SHAPE).astype(np.uint8)
    tifffile.imwrite(folder / "cut.tif", pixels, photometric="minisblack", metadata={"axes": "CZYX"})
    whole = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[:-1000])
    (folder / "folder").mkdir()
    for c, z in np.ndindex(2, 3):
        tifffile.imwrite(folder / "folder" / f"c{c}_z{z}.tif", pixels[c, z], photometric="minisblack")
    tifffile.imwrite(folder / "pages.tif", pixels.reshape(6, 48, 64), photometric="minisblack", metadata=None)
    return folder


def test_every_function_is_here() -> None:
    functions = {name for name in bigimg.__all__ if inspect.isfunction(getattr(bigimg, name))}
    assert functions == {*CALLS, *WRITES, *NO_SOURCE}
    assert list(OPENING) == list(Opening.__annotations__)


@pytest.mark.parametrize("name", [*CALLS, *MORE])
def test_functions_take_the_options_of_a_source(name: str, sources: Path) -> None:
    call = (CALLS | MORE)[name]
    for source, opening in OPTIONS.items():
        call(sources / source, **opening)
    with pytest.raises(BigimgError, match=r"series nowhere|series 'nowhere'"):
        call(sources / "pages.tif", **OPTIONS["pages.tif"], series="nowhere")
    if name not in ("plan", "imread", "info", "view"):  # which open an array as a reader
        with pytest.raises(UsageError, match="array: allow_partial=True is for "):
            call(bigimg.from_array(np.zeros(SHAPE, np.uint8)), allow_partial=True)
    with pytest.raises(UsageError, match="array: series 1 was asked for"):
        call(bigimg.from_array(np.zeros(SHAPE, np.uint8)), series=1)


@pytest.mark.parametrize("verb", [verb for verb, each in COMMANDS.items() if isinstance(each, Verb)])
def test_verbs_take_the_options_of_a_source(
    verb: str, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "bigimg.viewing.napari.window.view", lambda img, block, **opening: layers_of(img, **opening)
    )
    own = {option.name for option in COMMANDS[verb].params}
    assert own >= {*SOURCE} - ({"axis"} if verb == "stack" else set())
    assert ("plate" in own) == (verb in ("plan", "convert", "verify", "info"))
    assert "Options of the source:\n  --series" in CliRunner().invoke(cli, [verb, "--help"]).output
    for source, opening in OPTIONS.items():
        words = [word for name, value in opening.items() for word in (f"--{name.replace('_', '-')}", value)]
        words = [word for word in words if word is not True]
        target = [
            f"{source}-{each}" if "." in each or each == "patches" else each for each in TARGETS.get(verb, [])
        ]
        if verb == "verify":
            bigimg.convert(sources / source, f"{source}.ome.zarr", **opening)
            target = [f"{source}.ome.zarr"]
        paths = [*target, sources / source] if verb == "verify" else [sources / source, *target]
        done = CliRunner().invoke(cli, list(map(str, [verb, *paths, *words])), catch_exceptions=False)
        assert done.exit_code == 0, done.output
