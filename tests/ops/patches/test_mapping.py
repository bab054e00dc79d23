"""Functions of patches, written and put together: against numpy loops, and against themselves cut up otherwise."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import BudgetError, InputError, ResumeError, UsageError
from bigimg.ops.patches.blending import weights
from bigimg.ops.patches.positions import Line
from bigimg.system.memory import resident_bytes
from bigimg.types import Array

BLENDS = ["hann", "linear", "crop"]


def noise(*shape: int, dtype: Any = np.uint8) -> Array:
    values = np.random.default_rng(0).normal(100, 60, shape)
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else values.clip(0, 255).astype(dtype)


def same(patch: Array) -> Array:
    return patch


def tone(patch: Array) -> Array:
    """Another value in every patch: what blending shows."""
    return np.full(patch.shape[:2], patch[0, 0].astype(np.float64).sum(), np.float64)


# ---------------------------------------------------------------------------------------------------- the weights


@given(
    st.integers(1, 60), st.integers(1, 20), st.integers(1, 20), st.sampled_from(["shift", "pad"]),
    st.sampled_from(BLENDS),
)  # fmt: skip
def test_weights_add_up_to_one_exactly(size: int, patch: int, stride: int, edge: Any, blend: Any) -> None:
    line = Line(size, min(patch, size) if edge == "shift" else patch, min(stride, patch, size), edge)
    total = np.zeros(size + 60)
    for number in range(line.count):
        start = int(line.starts(np.array([number]))[0])
        share = weights(line, number, blend)
        assert share.dtype == np.float32
        assert (share >= 0).all()
        total[start : start + line.patch] += share
    assert (total[:size] == 1).all()


def test_hann_and_linear_pass_over_smoothly() -> None:
    line = Line(200, 64, 32, "shift")
    for blend in ("hann", "linear"):
        share = weights(line, 2, blend).astype(np.float64)
        expected = np.sin(np.pi * (np.arange(64) + 0.5) / 64) ** 2  # overlapping by half, these add up to 1
        if blend == "linear":
            expected = np.minimum(np.arange(64) + 1, 64 - np.arange(64)) / 33
        np.testing.assert_allclose(share, expected, atol=2 / 512)


# ----------------------------------------------------------------------------------------------- what comes back


@settings(max_examples=60)
@given(
    st.tuples(st.integers(5, 50), st.integers(5, 50)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(0, 19), st.integers(0, 19)),
    st.sampled_from(BLENDS),
    st.sampled_from([np.uint8, np.uint16, np.float32, bool]),
    st.sampled_from(["shift", "pad"]),
)
def test_the_same_patches_give_the_same_image(
    shape: tuple[int, int], size: tuple[int, int], overlap: tuple[int, int], blend: Any, dtype: Any, edge: Any
) -> None:
    image = noise(*shape, dtype=dtype)
    size = (min(size[0], shape[0]), min(size[1], shape[1]))
    overlap = (min(overlap[0], size[0] - 1), min(overlap[1], size[1] - 1))
    found = bigimg.map_patches(same, image, size, overlap=overlap, blend=blend, edge=edge)
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found.values, image)
    patches = bigimg.patches(image, size, overlap=overlap, edge=edge)
    np.testing.assert_array_equal(bigimg.reassemble(patches, blend=blend).values, image)
    np.testing.assert_array_equal(bigimg.reassemble(patches, patches.stack(), blend=blend).values, image)


@pytest.mark.parametrize("channels", ["last", "first"])
@pytest.mark.parametrize("blend", BLENDS)
def test_volumes_series_and_channels(channels: str, blend: str) -> None:
    volume = noise(30, 41, 37, dtype=np.float32)
    cut = {"blend": blend, "channels": channels}
    for size, overlap in (((16, 20, 24), (8, 3, 11)), ((20, 24), (3, 11)), ((20, 37), 0)):
        found = bigimg.map_patches(same, volume, size, overlap=overlap, **cut)
        np.testing.assert_array_equal(found.values, volume)
    series = bigimg.from_array(noise(3, 2, 9, 40, 44), dims="tczyx", spacing=2.0, unit="mm")
    found = bigimg.map_patches(same, series, (5, 16, 16), overlap=4, **cut)
    xarray.testing.assert_equal(found.compute(), series.compute())
    assert found.bigimg.spacing == series.bigimg.spacing


def loop(image: Array, size: int, stride: int, blend: str) -> Array:
    """Blend by hand: patch after patch into sums of values and of weights."""
    height, width = image.shape[:2]
    ys, xs = ([*range(0, n - size, stride), n - size] for n in (height, width))
    ramp = np.arange(size)
    window = (
        np.minimum(ramp + 1, size - ramp) if blend == "linear" else np.sin(np.pi * (ramp + 0.5) / size) ** 2
    )
    weight = np.outer(window, window)
    sums, total = np.zeros((height, width)), np.zeros((height, width))
    for y in ys:
        for x in xs:
            sums[y : y + size, x : x + size] += weight * tone(image[y : y + size, x : x + size])
            total[y : y + size, x : x + size] += weight
    return sums / total


@pytest.mark.parametrize("blend", ["hann", "linear"])
def test_blending_is_the_weighted_mean(blend: str) -> None:
    image = noise(70, 83, 3)
    found = bigimg.map_patches(tone, image, 24, overlap=10, blend=blend)
    assert found.dims == ("y", "x")
    expected = loop(image, 24, 14, blend)
    # Weights are rounded to 1/512: of the difference between neighbours, which is up to 600.
    np.testing.assert_allclose(found.values, expected, atol=600 * 4 / 512)


def test_any_region_is_the_same_part_of_the_whole() -> None:
    image = noise(90, 101, 3)
    found = bigimg.map_patches(tone, image, (24, 31), overlap=(10, 17))
    whole = found.values
    rng = np.random.default_rng(2)
    for _ in range(25):
        y, x = rng.integers(0, 80), rng.integers(0, 90)
        part = found[y : y + rng.integers(1, 60), x : x + rng.integers(1, 60)]
        np.testing.assert_array_equal(part.values, whole[y : y + part.shape[0], x : x + part.shape[1]])


def shards(store: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(store)): p.read_bytes() for p in sorted(store.glob("[0-9]/c/**/*")) if p.is_file()
    }


def test_workers_and_order_change_no_byte(tmp_path: Path) -> None:
    image = noise(200, 230, 3)
    asked = {"overlap": 12, "chunks": {"y": 32, "x": 32}, "shards": {"y": 64, "x": 64}, "progress": False}
    tree = bigimg.map_patches(tone, image, 40, out=tmp_path / "a.ome.zarr", workers=1, **asked)
    bigimg.map_patches(tone, image, 40, out=tmp_path / "b.ome.zarr", workers=2, **asked)
    bigimg.map_patches(tone, image, 40, out=tmp_path / "c.ome.zarr", executor=ThreadPoolExecutor(4), **asked)
    first = shards(tmp_path / "a.ome.zarr")
    assert len(first) > 16
    assert first == shards(tmp_path / "b.ome.zarr") == shards(tmp_path / "c.ome.zarr")
    lazy = bigimg.map_patches(tone, image, 40, overlap=12)
    np.testing.assert_array_equal(tree["scale0"].image.values, lazy.values)
    assert bigimg.verify(tmp_path / "a.ome.zarr").ok


def test_a_distributed_cluster_writes_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    image = noise(100, 130, 3)
    asked = {"overlap": 12, "chunks": {"y": 32, "x": 32}, "shards": {"y": 64, "x": 64}, "progress": False}
    bigimg.map_patches(tone, image, 40, out=tmp_path / "a.ome.zarr", **asked)
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        bigimg.map_patches(
            tone, image, 40, out=tmp_path / "b.ome.zarr", executor=client.get_executor(), **asked
        )
    assert shards(tmp_path / "a.ome.zarr") == shards(tmp_path / "b.ome.zarr")


def test_the_result_lies_where_the_image_lies(tmp_path: Path) -> None:
    image = bigimg.from_array(
        noise(60, 80, 3), dims="yxc", spacing=(0.5, 0.25), unit="um", channels=["a", "b", "c"]
    )
    tree = bigimg.map_patches(same, image, 32, overlap=8, out=tmp_path / "a.ome.zarr", progress=False)
    found = tree["scale0"].image
    xarray.testing.assert_equal(found.compute(), image.compute())
    assert found.bigimg.channels == ("a", "b", "c")
    two = bigimg.map_patches(lambda p: p[..., :2], image, 32)
    assert two.sizes["c"] == 2
    assert two.bigimg.channels == ()
    assert bigimg.map_patches(lambda p: p[..., 0] > 100, image, 32).bigimg.kind == "mask"


# ------------------------------------------------------------------------------------------------------ going on


def stop_after(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Interrupt the next run after some blocks, as Ctrl-C would."""
    left = [blocks]

    def hook(step: str) -> None:
        if step == "block":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    monkeypatch.setattr("bigimg.conversion.commit.hook", hook)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.npy"
    np.save(path, noise(200, 230))
    return path


ASKED: dict[str, Any] = {
    "overlap": 12, "chunks": {"y": 32, "x": 32}, "shards": {"y": 64, "x": 64}, "progress": False, "workers": 1,
}  # fmt: skip


def negative(patch: Array) -> Array:
    return 255 - patch


def test_an_interrupted_run_goes_on_under_the_same_function(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bigimg.map_patches(negative, source, 40, out=tmp_path / "whole.ome.zarr", **ASKED)
    target = tmp_path / "a.ome.zarr"
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        bigimg.map_patches(negative, source, 40, out=target, **ASKED)
    for function, more in ((same, {}), (negative, {"blend": "linear"}), (negative, {"overlap": 11})):
        with pytest.raises(ResumeError, match="another source"):
            bigimg.map_patches(function, source, 40, out=target, **{**ASKED, **more})
    bigimg.map_patches(negative, source, 40, out=target, **ASKED)
    assert shards(target) == shards(tmp_path / "whole.ome.zarr")


def test_any_function_will_do_of_a_file_too(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels of a file are known again by pickling what reads them; what a function makes of them never is."""
    pixels = np.load(source)
    found = [bigimg.map_patches(lambda patch, k=k: patch // k, source, 64) for k in (2, 3)]
    for k, image in zip((2, 3), found, strict=True):
        np.testing.assert_array_equal(image.values, pixels // k)
    first = bigimg.map_patches(negative, source, 64)
    monkeypatch.setattr(f"{__name__}.negative", other := lambda patch: patch // 5)  # a cell is run again
    other.__qualname__ = other.__name__ = "negative"
    np.testing.assert_array_equal(bigimg.map_patches(negative, source, 64).values, pixels // 5)
    np.testing.assert_array_equal(first.values, 255 - pixels)


def test_a_name_vouches_for_what_cannot_be_seen(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def model(patch: Array) -> Array:  # a closure: what it depends on cannot be told from its code
        calls.append(1)
        return 255 - patch

    def run(name: str | None, target: Path) -> int:
        calls.clear()
        bigimg.map_patches(model, source, 40, out=target, name=name, dtype="u1", **ASKED)
        return len(calls)

    everything = run("v1", tmp_path / "whole.ome.zarr")
    for name, again in (("v1", True), (None, False)):
        target = tmp_path / f"{name}.ome.zarr"
        stop_after(monkeypatch, 4)
        with pytest.raises(KeyboardInterrupt):
            run(name, target)
        if again:
            with pytest.raises(ResumeError):
                run("v2", target)
        assert (run(name, target) < everything) == again
        assert shards(target) == shards(tmp_path / "whole.ome.zarr")


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            lambda p: p[1:],
            {},
            r"gave shape \(15, 16, 3\) for a patch of shape \(16, 16, 3\): it must keep 16 x 16",
        ),
        (lambda p: p.astype(np.complex64), {}, r"gives complex64"),
        (same, {"edge": "drop"}, r"edge='drop' would leave pixels without a value"),
        (same, {"blend": "cosine"}, r"blend='cosine': give one of hann, linear, crop"),
        (same, {"channels": "middle"}, r"channels='middle'"),
        (same, {"overlap": 16}, r"overlap 16 along y: a patch has 16 pixels; give 0 to 15"),
        (lambda p: p / 2, {"dtype": "u1", "n_channels": 3}, r"gave float64 for a patch, expected uint8"),
        (same, {"dtype": "u1", "n_channels": 2}, r"gave 3 channels for a patch, and 2 for another one"),
        (same, {"codec": "zstd"}, r"codec= is of the store, and there is none: give out="),
    ],
)
def test_what_cannot_be_is_said(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, InputError), match=message):
        bigimg.map_patches(function, noise(40, 50, 3), 16, **options).compute()


def test_ids_are_not_blended(tmp_path: Path) -> None:
    ids = noise(40, 50, dtype=np.uint16)
    with pytest.raises(UsageError, match="would average the ids of labels: give blend='crop'"):
        bigimg.map_patches(same, ids, 16, overlap=4, out=tmp_path / "a.ome.zarr", kind="labels")
    asked = {"blend": "crop", "kind": "labels", "progress": False}
    tree = bigimg.map_patches(same, ids, 16, overlap=4, out=tmp_path / "a.ome.zarr", **asked)
    np.testing.assert_array_equal(tree["scale0"].image.values, ids)


def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    image, out = np.broadcast_to(np.uint8(3), (1000, 20_000)), tmp_path / "a.ome.zarr"
    allowed = resident_bytes() + 150_000_000
    for size in ((900, 8000), (900, 19_000)):  # the conversion does not fit, or not even one patch
        with pytest.raises(BudgetError, match="or patches of size=") as caught:
            bigimg.map_patches(same, image, size, overlap=64, out=out, memory=allowed, dtype="u1")
        assert not [*tmp_path.iterdir()]
        assert caught.value.needed > allowed
    smaller = tuple(map(int, re.findall(r"size=\((\d+), (\d+)\)", str(caught.value))[0]))
    seen: list[Any] = []
    tree = bigimg.map_patches(
        same, image, smaller, overlap=64, out=out, memory=allowed, dtype="u1", progress=seen.append
    )
    assert int(tree["scale0"].image.min()) == 3
    assert (seen[0].done, seen[-1].done) == (0, seen[-1].total)  # it is seen from the beginning


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (lambda a: bigimg.patches(a, 8, n=3), {}, r"random, chosen or masked patches do not cover"),
        (lambda a: bigimg.patches(a, 8)[2:], {}, r"random, chosen or masked"),
        (lambda a: bigimg.patches(a, 8, stride=9), {}, r"stride 9 along y: patches of 8 pixels leave gaps"),
        (lambda a: bigimg.patches(a, 8), {"values": np.zeros((3, 8, 8))}, r"3 values for 35 patches"),
        (lambda a: bigimg.patches(a, 8), {"values": np.zeros((35, 8, 9))}, r"values of shape \(8, 9\) for"),
        (lambda a: bigimg.patches(a, 8), {"blend": "max"}, r"blend='max'"),
    ],
)  # fmt: skip
def test_what_is_no_whole_grid_is_not_reassembled(made: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bigimg.reassemble(made(noise(40, 50)), **options)


def test_values_of_another_kind_are_put_together() -> None:
    image = noise(41, 50, 3)
    patches = bigimg.patches(image, (16, 12), overlap=5)
    grey = bigimg.reassemble(patches, patches.stack().mean(axis=-1))
    np.testing.assert_array_equal(grey.values, image.mean(axis=-1))
    two = bigimg.reassemble(patches, patches.stack("first")[:, 1:], channels="first", blend="hann")
    np.testing.assert_array_equal(two.values, np.moveaxis(image, -1, 0)[1:])
    dropped = bigimg.reassemble(bigimg.patches(image, (16, 12), edge="drop"))
    np.testing.assert_array_equal(dropped.bigimg.to_numpy(), image[:32, :48])
