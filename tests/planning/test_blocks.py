"""Sweeps tile every level with whole shards, and bands decode each source chunk about once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.geometry.axes import Axis
from bigimg.geometry.chunks import checked_chunks
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.region import pieces, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import MOST_REREAD, plan_sweeps, plan_traversal, walk
from bigimg.reader import Access


@st.composite
def images(draw: st.DrawFn):
    dims = draw(st.sampled_from(("yx", "zyx", "cyx", "tczyx")))
    shape = tuple(draw(st.integers(1, 3 if d in "tc" else 70)) for d in dims)
    axes = tuple(Axis(d, n, draw(st.sampled_from((1.0, 1.0, 3.5)))) for d, n in zip(dims, shape, strict=True))
    chunks = tuple(draw(st.sampled_from((3, 5, 8, 16))) if d in "zyx" else 1 for d in dims)
    shards = tuple(
        c * draw(st.sampled_from((1, 2, 3, 4))) if d in "zyx" else 1
        for c, d in zip(chunks, dims, strict=True)
    )
    return ImageSpec(axes, np.dtype("u1"), (1,) * len(dims)), chunks, shards


@settings(max_examples=60)
@given(images())
def test_each_shard_of_each_level_belongs_to_one_block(image):
    spec, chunks, shards = image
    chunks, shards = checked_chunks(spec, chunks, shards)
    levels = plan_levels(spec.axes, chunks, method="mean")
    plans, sweeps = plan_sweeps(levels, chunks, shards, "mean")
    assert [level for sweep in sweeps for level in sweep.writes] == list(range(len(levels)))
    for sweep in sweeps:
        assert sweep.reads == (sweep.writes[0] - 1 if sweep.writes[0] else None)
        scale = (1,) * len(chunks)
        for level in sweep.writes:
            plan = plans[level]
            if level != sweep.writes[0]:
                scale = tuple(a * b for a, b in zip(scale, plan.level.step, strict=True))
            assert all(s % c == 0 for s, c in zip(plan.shard, plan.chunk, strict=True))
            seen = np.zeros(plan.objects, int)
            for block in walk(plans[sweep.writes[0]].level.shape, sweep.block, spec.dims):
                assert all(s.start % f == 0 for s, f in zip(block, scale, strict=True))
                region = tuple(
                    slice(s.start // f, -(-s.stop // f)) for s, f in zip(block, scale, strict=True)
                )
                for index, part in pieces(region, plan.shard):
                    seen[index] += 1
                    whole = tuple(
                        min(n, plan_n - i * n)
                        for n, plan_n, i in zip(plan.shard, plan.level.shape, index, strict=True)
                    )
                    assert shape_of(part) == whole
            assert (seen == 1).all()


def test_two_dimensional_sweeps_write_three_levels_each():
    spec = ImageSpec((Axis("y", 30000), Axis("x", 20000)), np.dtype("u1"), (1, 1))
    chunks, shards = checked_chunks(spec, None, None)
    plans, sweeps = plan_sweeps(plan_levels(spec.axes, chunks, method="mean"), chunks, shards, "mean")
    assert [sweep.writes for sweep in sweeps] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert [plan.shard for plan in plans[:4]] == [(2048, 2048), (1024, 1024), (512, 512), (2048, 2048)]


def test_each_gaussian_level_is_a_sweep():
    spec = ImageSpec((Axis("y", 3000), Axis("x", 2000)), np.dtype("u1"), (1, 1))
    chunks, shards = checked_chunks(spec, None, None)
    _, sweeps = plan_sweeps(plan_levels(spec.axes, chunks, method="gaussian"), chunks, shards, "gaussian")
    assert all(len(sweep.writes) == 1 for sweep in sweeps)


@settings(max_examples=200)
@given(st.data())
def test_source_chunks_are_decoded_at_most_1_3_times(data):
    shape = tuple(data.draw(st.integers(1, 3000)) for _ in "zyx")
    source = tuple(data.draw(st.integers(1, n)) for n in shape)
    block = tuple(data.draw(st.sampled_from((64, 256))) for _ in "zyx")
    spec = ImageSpec(tuple(Axis(d, n) for d, n in zip("zyx", shape, strict=True)), np.dtype("u2"), source)
    traversal = plan_traversal(spec, Access("random", "tiles"), block)
    assert all(b % k == 0 for b, k in zip(traversal.band, block, strict=True))
    met = [
        sum(-(-min(s + b, n) // c) - s // c for s in range(0, n, b)) / -(-n // c)
        for n, c, b in zip(shape, source, traversal.band, strict=True)
    ]
    assert traversal.reread == pytest.approx(math.prod(met))
    assert traversal.reread <= MOST_REREAD


@pytest.mark.parametrize(
    ("dims", "shape", "block", "order", "band"),
    [
        ("cyx", (3, 9000, 7000), (3, 2048, 2048), "yxc", (3, 2048, 7000)),  # PNG: rows
        ("zyx", (300, 500, 400), (256, 256, 256), "zyx", (256, 500, 400)),
        ("tzyx", (9, 30, 500, 400), (1, 30, 256, 256), "tzyx", (1, 30, 500, 400)),  # one volume
        ("tczyx", (9, 2, 30, 500, 400), (1, 1, 30, 256, 256), "ctzyx", (1, 1, 30, 500, 400)),
    ],
)
def test_ordered_sources_are_read_in_slabs(dims, shape, block, order, band):
    spec = ImageSpec(
        tuple(Axis(d, n) for d, n in zip(dims, shape, strict=True)), np.dtype("u1"), (1,) * len(dims)
    )
    assert plan_traversal(spec, Access("sequential", "stream", tuple(order)), block).band == band


@pytest.mark.parametrize(
    ("dims", "shape", "chunks", "block", "band"),
    [
        ("zyx", (40, 2048, 2048), (1, 1, 64), (40, 256, 256), (40, 256, 2048)),  # 42 MB a row of blocks
        ("zyx", (512, 1024, 1024), (1, 1, 64), (256, 256, 256), (256, 256, 512)),  # 134 MB
        (
            "czyx",
            (2, 10, 3000, 3000),
            (2, 1, 1, 64),
            (1, 10, 512, 512),
            (2, 10, 512, 1536),
        ),  # 61 MB of both colours
        ("zyx", (9000, 9000, 256), (1, 1, 64), (4096, 256, 256), (4096, 256, 256)),  # one block
    ],
)
def test_bands_of_short_rows_are_as_wide_as_the_image_or_half(dims, shape, chunks, block, band):
    spec = ImageSpec(tuple(Axis(d, n) for d, n in zip(dims, shape, strict=True)), np.dtype("u2"), chunks)
    traversal = plan_traversal(spec, Access("random", "uncompressed", wide=True), block)
    assert (traversal.band, traversal.reread) == (band, 1.0)


def test_walk_keeps_the_order_of_the_source():
    starts = [tuple(s.start for s in region) for region in walk((2, 4), (1, 2), ("c", "y"), ("y", "c"))]
    assert starts == [(0, 0), (1, 0), (0, 2), (1, 2)]
