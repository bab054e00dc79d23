"""The plan of a check: every level is met, windows stay whole, and the peak stays under the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.errors import BudgetError
from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import plan_sweeps
from bigimg.planning.check_plan import Chain, Cut, Sources, make_check_plan, plan_chains
from bigimg.reader import Access

RESIDENT = 60_000_000


def cuts_of(
    shape: tuple[int, ...], chunk: tuple[int, ...], shard: tuple[int, ...], dims: str = "zyx"
) -> list[Cut]:
    """Return the levels as a conversion cuts them."""
    axes = [Axis(name, n) for name, n in zip(dims[-len(shape) :], shape, strict=True)]
    layouts, _ = plan_sweeps(plan_levels(axes, chunk, method="mean"), chunk, shard, "mean")
    return [Cut(p.level.index, p.level.shape, p.chunk, p.shard, p.level.step) for p in layouts]


@st.composite
def pyramids(draw: st.DrawFn) -> list[Cut]:
    ndim = draw(st.integers(2, 3))
    shape = tuple(draw(st.integers(1, 300)) for _ in range(ndim))
    chunk = tuple(draw(st.sampled_from((3, 8, 16))) for _ in range(ndim))
    shard = tuple(c * draw(st.integers(1, 4)) for c in chunk)
    return cuts_of(shape, chunk, shard)


@given(pyramids(), st.integers(1, 100_000), st.sampled_from(("mean", "mode", "gaussian", None)))
def test_chains_meet_every_level_and_keep_windows_whole(cuts: list[Cut], most: int, method) -> None:  # type: ignore[no-untyped-def]
    chains = plan_chains(cuts, most, method)
    assert {level for chain in chains for level in chain.levels} == {cut.level for cut in cuts}
    derived = [level for chain in chains for level in chain.levels[1:]]
    assert derived == ([] if method is None else list(range(1, len(cuts)))), "each once, in order"
    for chain in chains:
        assert chain.levels == tuple(range(chain.levels[0], chain.levels[0] + len(chain.levels)))
        assert method != "gaussian" or len(chain.levels) <= 2
        first = cuts[chain.levels[0]]
        factors = [1] * len(first.shape)
        for axis, (b, n, c) in enumerate(zip(chain.block, first.shape, first.chunk, strict=True)):
            assert b >= n or b % c == 0, "no chunk belongs to two blocks"
            for level in chain.levels[1:]:
                factors[axis] *= cuts[level].step[axis]
            assert b >= n or b % factors[axis] == 0, "no window belongs to two blocks"


def test_the_defaults_are_checked_by_the_blocks_they_were_written_in() -> None:
    picture = cuts_of((3, 20000, 30000), (1, 512, 512), (3, 2048, 2048), "cyx")
    assert [cut.level for cut in picture] == list(range(7))
    assert plan_chains(picture, 36_000_000, "mean") == (
        Chain((0, 1, 2), (3, 4096, 2048)), Chain((2, 3, 4), (3, 4096, 2048)), Chain((4, 5, 6), (3, 2048, 2048)),
    )  # fmt: skip


@given(
    pyramids(),
    st.sampled_from(("u1", "u2", "f8")),
    st.integers(100_000_000, 400_000_000),
    st.sampled_from(("random", "sequential", None)),
)
def test_the_peak_is_under_the_budget_or_the_refusal_says_what_fits(
    cuts: list[Cut], dtype: str, budget: int, kind
) -> None:  # type: ignore[no-untyped-def]
    sources = Sources()
    if kind is not None:
        dims = "zyx"[-len(cuts[0].shape) :]
        spec = ImageSpec(
            tuple(Axis(name, n) for name, n in zip(dims, cuts[0].shape, strict=True)),
            np.dtype(dtype),
            cuts[0].chunk,
        )
        sources = Sources(None, spec, Access(kind, "made", tuple(dims), fixed_bytes=20_000_000))
    try:
        plan = make_check_plan(
            cuts, np.dtype(dtype), method="mean", channels=1, sources=sources, budget=budget, workers=2,
            resident=RESIDENT, name="x",
        )  # fmt: skip
    except BudgetError as error:
        assert error.needed > budget  # noqa: PT017  (either outcome is fine, each with its own promise)
        assert error.allowed == budget  # noqa: PT017
        return
    assert plan.peak_bytes <= budget
    assert (plan.band is None) == (kind is None)
    assert 1 <= plan.workers <= 2


def test_less_memory_means_smaller_blocks_and_then_fewer_workers() -> None:
    cuts = cuts_of((512, 1024, 1024), (64, 64, 64), (256, 256, 256))

    def plan(budget: int):  # type: ignore[no-untyped-def]
        return make_check_plan(
            cuts, np.dtype("u2"), method="mean", channels=1, sources=Sources(), budget=budget, workers=2,
            resident=RESIDENT, name="a.ome.zarr",
        )  # fmt: skip

    rich, poor = plan(1_000_000_000), plan(150_000_000)
    assert (rich.workers, rich.chains[0].block) == (2, (256, 256, 256))
    assert math.prod(poor.chains[0].block) < math.prod(rich.chains[0].block)
    with pytest.raises(
        BudgetError, match=r"a\.ome\.zarr: checking its pixels needs .*, allowed 90\.0 MB: use"
    ):
        plan(90_000_000)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f8"])
def test_holes_take_memory(dtype: str) -> None:
    """Masks of a block, and a copy of the pixels that are there."""
    cuts = cuts_of((64, 64, 64), (64, 64, 64), (64, 64, 64))

    def peak(*, holes: bool) -> int:
        return make_check_plan(
            cuts, np.dtype(dtype), method="mean", channels=1, sources=Sources(), budget=10**9, workers=1,
            resident=RESIDENT, name="a.ome.zarr", holes=holes,
        ).peak_bytes  # fmt: skip

    assert peak(holes=True) - peak(holes=False) >= 64**3 * (np.dtype(dtype).itemsize + 2)
