"""Plans fit the budget or are refused with numbers; the layout never depends on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.errors import BudgetError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.planning.options import options
from bigimg.planning.plan import make_plan
from bigimg.reader import Access

RANDOM = Access("random", "tiles", read_bytes=10**6)
ORDERED = Access("sequential", "PNG", ("y", "x", "c"), fixed_bytes=10**7)
RESIDENT = 60_000_000


def rgb(height: int, width: int, chunks: tuple[int, ...] = (3, 512, 512)) -> ImageSpec:
    return ImageSpec(
        (Axis("c", 3), Axis("y", height), Axis("x", width)), np.dtype("u1"), chunks, channels=RGB
    )


def planned(spec: ImageSpec, access: Access, **asked):
    return make_plan("in", "out", spec, access, options(**asked), resident=RESIDENT)


@settings(max_examples=60)
@given(
    st.integers(1, 60000),
    st.integers(1, 60000),
    st.integers(10**6, 4 * 10**9),
    st.sampled_from((RANDOM, ORDERED)),
)
def test_a_plan_fits_or_says_what_would(height, width, memory, access):
    try:
        plan = planned(rgb(height, width), access, memory=memory)
    except BudgetError as error:
        assert error.needed > error.allowed == memory  # noqa: PT017
        (advised,) = re.findall(r"memory='(\d+MB)'", str(error))
        assert planned(rgb(height, width), access, memory=advised).peak_bytes <= int(advised[:-2]) * 10**6
        for shards in re.findall(r"chunks=\(([\d, ]+)\) shards=\(([\d, ]+)\)", str(error)):
            chunk, shard = (tuple(map(int, s.split(","))) for s in shards)
            planned(rgb(height, width), access, memory=memory, chunks=chunk, shards=shard)
    else:
        assert plan.peak_bytes <= memory
        assert plan.peak_bytes == sum(line.bytes for line in plan.memory)


@settings(max_examples=30)
@given(st.integers(1, 9000), st.integers(1, 9000))
def test_layout_does_not_depend_on_budget_or_workers(height, width):
    plans = [
        planned(rgb(height, width), access, memory=memory, workers=workers)
        for access in (RANDOM, ORDERED)
        for memory, workers in (("384MB", 1), ("4GB", 8))
    ]
    assert len({(plan.levels, plan.sweeps) for plan in plans}) == 1


def test_a_band_that_does_not_fit_goes_through_scratch():
    wide = rgb(9000, 200_000)
    assert planned(wide, ORDERED, memory="4GB").traversal.kind == "bands"
    plan = planned(wide, ORDERED, memory="512MB")
    assert plan.traversal.kind == "scratch"
    assert plan.scratch_bytes == wide.nbytes


def test_compressed_pages_of_a_volume_are_not_decoded_once_a_block():
    axes = (Axis("z", 512), Axis("y", 4096), Axis("x", 4096))
    volume = ImageSpec(axes, np.dtype("u2"), (1, 4096, 4096))
    assert planned(volume, RANDOM, memory="512MB").traversal.kind == "scratch"
    plan = planned(ImageSpec(axes, np.dtype("u2"), (1, 64, 64)), RANDOM, memory="512MB")
    assert plan.traversal.kind == "blocks"


def test_a_frame_that_must_be_decoded_whole_is_refused_by_number():
    whole = Access("whole", "interlaced PNG", fixed_bytes=3 * 10**9)
    with pytest.raises(BudgetError, match=r"needs 3\.\d+ GB of memory, allowed 512 MB .*interlaced PNG"):
        planned(rgb(30000, 30000), whole, memory="512MB")
    assert planned(rgb(30000, 30000), whole, memory="4GB").peak_bytes > 3 * 10**9


def test_a_budget_of_one_megabyte_is_refused():
    with pytest.raises(BudgetError, match=r"allowed 1\.00 MB"):
        planned(rgb(100, 100), RANDOM, memory="1MB")


def test_labels_are_never_averaged_by_default():
    from dataclasses import replace

    assert planned(replace(rgb(9, 9), kind="labels"), RANDOM, memory="1GB").method == "mode"
    assert planned(rgb(9, 9), RANDOM, memory="1GB", kind="mask").method == "mode"
    assert planned(rgb(9, 9), RANDOM, memory="1GB").method == "mean"


def test_a_plan_prints_and_is_json():
    plan = planned(rgb(18701, 17360), ORDERED, memory="512MB")
    assert json.loads(json.dumps(plan.to_dict()))["peak_bytes"] == plan.peak_bytes
    text = str(plan)
    for word in ("sequential (PNG)", "level 0", "planned peak", "blocks", "files"):
        assert word in text


def test_planning_imports_no_array_store():
    code = "import sys, bigimg.planning.plan; print(sorted({'dask', 'xarray', 'zarr', 'pandas'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def stack(z: Axis, unit: str | None = None) -> ImageSpec:
    return ImageSpec((z, Axis("y", 900, unit=unit), Axis("x", 800, unit=unit)), np.dtype("u1"), (1, 900, 800))


@pytest.mark.parametrize(
    ("spec", "asked", "depths"),
    [
        (stack(Axis("z", 80)), {}, [80, 80, 80, 80, 80]),
        (stack(Axis("z", 80), "micrometer"), {}, [80, 80, 80, 80, 80]),
        (stack(Axis("z", 80)), {"spacing": "z=1"}, [80, 40, 20, 10, 5]),  # a person says that 1 is right
        (stack(Axis("z", 80)), {"spacing": "z=2,y=0.5,x=0.5um"}, [80, 80, 80, 40, 20]),
        (stack(Axis("z", 80)), {"halve": "zyx"}, [80, 40, 20, 10, 5]),
        (stack(Axis("z", 80, 1.0, "micrometer"), "micrometer"), {"halve": "yx"}, [80, 80, 80, 80, 80]),
    ],
)
def test_the_plan_says_when_planes_are_kept_because_their_distance_is_not_known(spec, asked, depths):
    plan = planned(spec, RANDOM, memory="2GB", **asked)
    assert [p.level.shape[0] for p in plan.levels] == depths
    said = any("z is not halved: nothing says how far apart its planes are" in note for note in plan.notes)
    assert said == (len(set(depths)) == 1 and "halve" not in asked)
    alone = planned(stack(Axis("z", 1)), RANDOM, memory="2GB", **asked)
    assert not any("z is not halved" in note for note in alone.notes)
    assert plan.spec.notes == spec.notes  # the store does not keep it: its levels say so themselves


@pytest.mark.parametrize(
    ("halve", "share"), [("z", 1 + 1 / 2 + 1 / 4), ("yx", 1 + 1 / 4 + 1 / 16), (None, 1 + 1 / 8 + 1 / 64)]
)
def test_a_block_is_in_memory_with_the_two_levels_that_follow(halve, share):
    """With one axis halved that was a quarter of a block more than planned: 222 MB were measured of 202."""
    unit = "micrometer"
    spec = stack(Axis("z", 512, unit=unit), unit)
    plan = planned(spec, RANDOM, memory="2GB", workers=1, halve=halve)
    assert plan.sweeps[0].writes[:3] == (0, 1, 2)
    (blocks,) = (line.bytes for line in plan.memory if line.name == "blocks")
    assert blocks == int(np.prod(plan.sweeps[0].block) * share)
