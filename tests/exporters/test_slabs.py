"""Portions: every pixel once, in the order of the file, in whole chunks of the source."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.exporters.slabs import block_portions, least_slab, slab_portions
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access

ORDERS = (("t", "c", "z", "y", "x"), ("t", "z", "y", "x", "c"), ("c", "t", "z", "y", "x"))


@st.composite
def images(draw: st.DrawFn) -> tuple[ImageSpec, tuple[str, ...]]:
    order = draw(st.sampled_from(ORDERS))
    sizes = {name: draw(st.integers(1, 40)) for name in "zyx"} | {
        name: draw(st.integers(1, 4)) for name in "tc"
    }
    axes = tuple(Axis(name, sizes[name]) for name in "tczyx")
    chunks = tuple(draw(st.integers(1, axis.size)) for axis in axes)
    return ImageSpec(axes, np.dtype(draw(st.sampled_from(["u1", "f4"]))), chunks), order


@settings(max_examples=150)
@given(image=images(), most=st.integers(1, 40_000))
def test_blocks_meet_each_chunk_once(image: tuple[ImageSpec, tuple[str, ...]], most: int) -> None:
    spec, order = image
    portions = block_portions(spec, order, Access("random", ""), most)
    met = [index for region in portions.regions(spec) for index, _ in pieces(region, spec.chunks)]
    assert len(met) == len(set(met))
    seen = np.zeros(spec.shape, np.uint8)
    for region in portions.regions(spec):
        seen[region] += 1
    assert (seen == 1).all()
    chunk = math.prod(spec.chunks) * spec.dtype.itemsize
    assert portions.nbytes(spec) <= max(most, chunk)


@settings(max_examples=150)
@given(image=images(), most=st.integers(1, 40_000), rows=st.integers(1, 50), ordered=st.booleans())
def test_slabs_are_runs_of_the_file(
    image: tuple[ImageSpec, tuple[str, ...]], most: int, rows: int, ordered: bool
) -> None:
    spec, order = image
    access = Access("sequential", "", order) if ordered else Access("random", "")
    most = max(most, least_slab(spec, order, rows))
    portions = slab_portions(spec, order, access, rows, most)
    if portions is None:
        assert not ordered
        return
    assert portions.nbytes(spec) <= most
    axes = [spec.axis(name) for name in order]
    numbers = np.arange(spec.size).reshape([spec.shape[a] for a in axes])
    numbers = numbers.transpose([order.index(name) for name in spec.dims])  # as the spec has them
    got = [numbers[region].transpose(axes).reshape(-1) for region in portions.regions(spec)]
    assert np.array_equal(np.concatenate(got), np.arange(spec.size))
    y = spec.axis("y")
    assert all(region[y].start % rows == 0 or rows > spec.shape[y] for region in portions.regions(spec))
    if not ordered:
        met = [index for region in portions.regions(spec) for index, _ in pieces(region, spec.chunks)]
        assert len(met) / len(set(met)) <= 1.3 + 1e-9
        assert math.isclose(portions.reread, len(met) / len(set(met)))


def test_a_sequential_source_in_another_order_has_no_slabs() -> None:
    spec = ImageSpec((Axis("c", 3), Axis("y", 50), Axis("x", 60)), np.dtype("u1"), (3, 1, 60))
    access = Access("sequential", "", ("y", "x", "c"))
    assert slab_portions(spec, ("c", "y", "x"), access, 1, 10_000) is None
    strips = list(block_portions(spec, ("c", "y", "x"), access, 3 * 60 * 8).regions(spec))
    assert [shape_of(s) for s in strips] == [(3, 8, 60)] * 6 + [(3, 2, 60)]


def test_whole_chunks_of_a_volume_where_they_fit() -> None:
    spec = ImageSpec(tuple(Axis(n, 256) for n in "zyx"), np.dtype("u2"), (64, 64, 64))
    order, access = ("z", "y", "x"), Access("random", "")
    found = slab_portions(spec, order, access, 1, 64 * 256 * 256 * 2)
    assert found is not None
    assert found.step == (64, 256, 256)
    assert slab_portions(spec, order, access, 1, 63 * 256 * 256 * 2) is None  # one by one: 64 times each
    assert block_portions(spec, order, access, 1 << 20).step == (64, 64, 128)
