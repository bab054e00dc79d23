"""The pass: every level of every store equals the oracle, each source chunk and each object is touched once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.conversion import block as block_module
from bigimg.conversion.run import Result, Running, run
from bigimg.errors import BigimgError, InputError, OutputError, TargetExistsError, UsageError
from bigimg.omezarr import shard as shard_module
from bigimg.planning.options import options
from bigimg.planning.plan import make_plan
from bigimg.reader import Access
from tests.conversion.sources import CountingReader, noise
from tests.oracles import coarser, fast_mean

RESIDENT = 60_000_000
PNG = Access("sequential", "rows", ("y", "x", "c"))
GZ = Access("sequential", "volumes", ("z", "y", "x"))


def converted(
    reader: CountingReader, target: Path, *, executor=None, progress=False, **asked: object
) -> Result:
    plan = make_plan(
        "array",
        str(target),
        reader.spec,
        reader.access,
        options(**{"memory": "2GB", **asked}),
        resident=RESIDENT,
    )
    return run(plan, reader, Running(executor=executor, progress=progress))


def tree(root: Path) -> dict[str, str]:
    """Digest of every file but the provenance, by path."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and "provenance" not in p.parts)
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def check_levels(target: Path, image: np.ndarray, result: Result, method: str) -> None:
    expected = image
    for plan in result.plan.levels:
        if plan.level.index:
            small = expected.size < 40_000 or method != "mean"
            expected = (
                coarser(expected, plan.level.step, method) if small else fast_mean(expected, plan.level.step)
            )
        stored = zarr.open_array(target / str(plan.level.index), mode="r")
        assert stored.dtype == image.dtype
        np.testing.assert_array_equal(stored[...], expected, err_msg=f"level {plan.level.index}")


@st.composite
def cases(draw: st.DrawFn):
    dims = draw(st.sampled_from(("yx", "zyx", "cyx", "tczyx")))
    longest = {"yx": 60, "zyx": 23, "cyx": 40, "tczyx": 11}[dims]
    shape = tuple(draw(st.integers(1, 3 if d in "tc" else longest)) for d in dims)
    dtype = draw(st.sampled_from(("u1", "u2", "i2", "u4", "i8", "f4", "f8", "?")))
    chunks = tuple(draw(st.sampled_from((3, 4, 8))) if d in "zyx" else 1 for d in dims)
    shards = tuple(
        c * draw(st.sampled_from((1, 2, 3, 4))) if d in "zyx" else 1
        for c, d in zip(chunks, dims, strict=True)
    )
    method = draw(st.sampled_from(("mean", "mode", "nearest", "min", "max")))
    return dims, shape, dtype, chunks, shards, method


@settings(max_examples=80)
@given(
    cases(),
    st.sampled_from((1, 2, 8)),
    st.sampled_from(("random", "ordered")),
    st.sampled_from(("lz4", "zstd", "none")),
)
def test_every_level_equals_the_oracle(tmp_path_factory, case, workers, kind, codec):
    dims, shape, dtype, chunks, shards, method = case
    image = noise(shape, dtype)
    if dtype in ("f4", "f8"):
        image = np.round(image)  # sums of whole numbers are exact in any order
    order = tuple(d for d in dims if d != "c") + (("c",) if "c" in dims else ())
    access = Access("random", "array") if kind == "random" else Access("sequential", "stream", order)
    target = tmp_path_factory.mktemp("case") / "out.ome.zarr"
    result = converted(
        CountingReader(image, dims, access=access), target,
        workers=workers, chunks=chunks, shards=shards, method=method, codec=codec,
    )  # fmt: skip
    check_levels(target, image, result, "mode" if method == "mean" and dtype == "?" else method)


@pytest.mark.parametrize(
    ("dims", "shape", "dtype"),
    [("cyx", (3, 2500, 2111), "u1"), ("zyx", (131, 263, 197), "u2"), ("yx", (1031, 4099), "f4")],  # primes
)
def test_default_layouts_equal_the_oracle(tmp_path, dims, shape, dtype):
    image = np.round(noise(shape, dtype))
    if dtype == "f4":
        image = image * 4096  # so that means keep whole numbers and do not depend on rounding
    result = converted(CountingReader(image, dims), tmp_path / "a.ome.zarr", memory="4GB")
    check_levels(tmp_path / "a.ome.zarr", image, result, "mean")


def test_the_same_tree_for_any_workers_budget_executor_and_traversal(tmp_path):
    image = noise((3, 700, 900))
    sources = {
        "1": (CountingReader(image, "cyx"), {"workers": 1}),
        "2": (CountingReader(image, "cyx"), {"workers": 2, "memory": "4GB"}),
        "8": (CountingReader(image, "cyx"), {"workers": 8, "memory": "384MB"}),
        "serial": (CountingReader(image, "cyx"), {"executor": Serial()}),
        "ordered": (CountingReader(image, "cyx", access=PNG), {"workers": 2}),
        "strips": (CountingReader(image, "cyx", chunks=(3, 16, 900)), {"workers": 2}),
    }
    trees = []
    for name, (reader, asked) in sources.items():
        (tmp_path / name).mkdir()
        converted(reader, tmp_path / name / "x.ome.zarr", chunks=32, shards=128, **asked)
        trees.append(tree(tmp_path / name / "x.ome.zarr"))
    assert len(trees[0]) > 30
    for other in trees[1:]:
        assert other == trees[0]


def test_processes_give_the_same_tree(tmp_path):
    image = noise((3, 300, 400))
    for name, executor in (("threads", ThreadPoolExecutor(2)), ("processes", ProcessPoolExecutor(2))):
        (tmp_path / name).mkdir()
        with executor:
            converted(
                CountingReader(image, "cyx"),
                tmp_path / name / "x.ome.zarr",
                executor=executor,
                chunks=32,
                shards=64,
            )
    assert tree(tmp_path / "threads" / "x.ome.zarr") == tree(tmp_path / "processes" / "x.ome.zarr")


def test_float_statistics_do_not_depend_on_workers(tmp_path):
    image = noise((500, 600), "f4")
    results = [
        converted(
            CountingReader(image, "yx"), tmp_path / f"{n}.ome.zarr", workers=n, chunks=32, shards=64
        ).statistics
        for n in (1, 8)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("access", [Access("random", "tiles"), PNG], ids=["random", "ordered"])
def test_each_source_chunk_is_decoded_once(tmp_path, access):
    reader = CountingReader(noise((3, 1000, 1200)), "cyx", chunks=(3, 32, 32), access=access)
    converted(reader, tmp_path / "x.ome.zarr", chunks=64, shards=256, workers=4)
    assert set(reader.met.values()) == {1}
    assert len(reader.met) == 32 * 38


def test_strips_are_decoded_at_most_1_3_times(tmp_path):
    reader = CountingReader(noise((1000, 1200)), "yx", chunks=(50, 1200))
    result = converted(reader, tmp_path / "x.ome.zarr", chunks=64, shards=256)
    times = sum(reader.met.values()) / len(reader.met)
    assert times == pytest.approx(result.plan.traversal.reread)
    assert times <= 1.3


def test_an_ordered_source_is_read_forwards(tmp_path):
    reader = CountingReader(noise((3, 900, 500)), "cyx", access=PNG)
    converted(reader, tmp_path / "x.ome.zarr", chunks=32, shards=128)
    starts = [region[1].start for region in reader.regions]
    assert starts == sorted(set(starts))
    assert all(region[2] == slice(0, 500) for region in reader.regions)


def test_each_object_is_written_once_and_none_read_within_its_sweep(tmp_path, monkeypatch):
    written: Counter[tuple[str, tuple[int, ...]]] = Counter()
    read: list[tuple[str, int]] = []
    write_shard, read_region = shard_module.write_shard, shard_module.read_region

    def counting_write(array, index, data, layout):
        written[array.folder.name, index] += 1
        return write_shard(array, index, data, layout)

    def counting_read(array, region, layout, records=None):
        read.append((array.name, len(written)))
        return read_region(array, region, layout, records)

    monkeypatch.setattr(block_module, "write_shard", counting_write)
    monkeypatch.setattr(block_module, "read_region", counting_read)
    result = converted(
        CountingReader(noise((900, 1100)), "yx"), tmp_path / "x.ome.zarr", chunks=16, shards=64
    )
    assert set(written.values()) == {1}
    assert len(written) == result.objects
    sources = {str(sweep.reads) for sweep in result.plan.sweeps if sweep.reads is not None}
    assert len(sources) >= 2
    assert {
        name for name, _ in read
    } == sources  # only the last level of each sweep, never one just being written
    for sweep in result.plan.sweeps[1:]:
        before = sum(np.prod(plan.objects) for plan in result.plan.levels[: sweep.writes[0]])
        assert all(count >= before for name, count in read if name == str(sweep.reads))


def test_a_source_through_scratch_gives_the_same_tree(tmp_path):
    image = noise((3, 300, 12000))
    for name in ("direct", "scratch"):
        (tmp_path / name).mkdir()
    direct = CountingReader(image, "cyx", access=PNG)
    converted(direct, tmp_path / "direct" / "x.ome.zarr", chunks=64, shards=256)
    reader = CountingReader(image, "cyx", access=PNG)
    tight = {"chunks": 64, "shards": 256, "workers": 1}
    needed = make_plan(
        "a", "b", reader.spec, PNG, options(memory="4GB", **tight), resident=RESIDENT
    ).peak_bytes
    result = converted(
        reader, tmp_path / "scratch" / "x.ome.zarr", memory=needed - 256 * 36_000 - 1_000_000, **tight
    )
    assert result.plan.traversal.kind == "scratch"
    starts = [region[1].start for region in reader.regions]
    assert starts == sorted(set(starts))
    assert tree(tmp_path / "direct" / "x.ome.zarr") == tree(tmp_path / "scratch" / "x.ome.zarr")
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == ["x.ome.zarr"]


@pytest.mark.parametrize("dims", ["zyx", "yzx", "xyz"])
@pytest.mark.parametrize("chunks", [(1, 40, 50), (7, 11, 13)])
def test_scratch_copies_any_order_and_chunking(tmp_path, dims, chunks):
    from bigimg.conversion.scratch import copy_to_scratch
    from bigimg.geometry.region import full

    image = noise((30, 40, 50), "u2")
    access = Access("random", "pages", tuple(dims))
    copied: list[int] = []
    copy = copy_to_scratch(
        CountingReader(image, "zyx", chunks=chunks, access=access), tmp_path / "s", copied.append
    )
    np.testing.assert_array_equal(copy.read(full(image.shape)), image)
    assert sum(copied) == image.nbytes
    copy.close()


def test_gaussian_levels_equal_the_whole_image_filtered(tmp_path):
    from bigimg.pyramid.kernels import gaussian

    image = noise((101, 77))
    result = converted(
        CountingReader(image, "yx"), tmp_path / "x.ome.zarr", chunks=8, shards=16, method="gaussian"
    )
    for plan in result.plan.levels[1:]:
        image = gaussian(image, plan.level.step, (0, 0), plan.level.shape)
        np.testing.assert_array_equal(
            zarr.open_array(tmp_path / "x.ome.zarr" / str(plan.level.index), mode="r")[...], image
        )


def test_statistics_and_histogram_are_stored(tmp_path):
    image = noise((3, 300, 400))
    result = converted(CountingReader(image, "cyx"), tmp_path / "x.ome.zarr", chunks=32, shards=64)
    for row, values in zip(result.statistics["channels"], image, strict=True):
        assert row["sum"] == values.sum(dtype=int)
        assert row["sum_squares"] == (values.astype(int) ** 2).sum()
        assert (row["count"], row["min"], row["max"]) == (values.size, values.min(), values.max())
    group = zarr.open_group(tmp_path / "x.ome.zarr" / "bigimg", mode="r")
    expected = [np.bincount(values.ravel(), minlength=256) for values in image]
    np.testing.assert_array_equal(group["histogram"][...], expected)


class Broken(CountingReader):
    """Fails in the middle, as a truncated file does."""

    def read(self, region):
        if len(self.regions) == 2:
            raise InputError("image.tif: truncated in tile 7; copy it again")
        return super().read(region)


@pytest.mark.parametrize("access", [Access("random", "tiles"), PNG], ids=["random", "ordered"])
def test_a_failed_run_leaves_nothing_and_touches_nothing_else(tmp_path, access):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="tile 7"):
        converted(
            Broken(noise((3, 900, 500)), "cyx", access=access), tmp_path / "x.ome.zarr", chunks=32, shards=128
        )
    assert sorted(os.listdir(tmp_path)) == ["mine.txt"]


class Serial(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_targets_that_cannot_be_are_refused_before_a_read(tmp_path):
    (tmp_path / "there").mkdir()
    reader = CountingReader(noise((50, 50)), "yx")
    for target, kind in ((tmp_path / "there", TargetExistsError), (tmp_path / "no" / "x.zarr", OutputError)):
        with pytest.raises(kind, match=target.name):
            converted(reader, target)
    reader.source = str(tmp_path)
    plan = make_plan(
        reader.source, str(tmp_path / "in.zarr"), reader.spec, reader.access, options(memory="2GB")
    )
    with pytest.raises(UsageError, match="inside the source"):
        run(plan, reader, Running(progress=False))
    assert reader.regions == []


def test_a_full_disk_is_an_output_error_with_what_is_free(tmp_path, monkeypatch):
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(block_module, "write_shard", full_disk)
    with pytest.raises(OutputError, match=r"No space left on device.* are free"):
        converted(CountingReader(noise((90, 50)), "yx"), tmp_path / "x.ome.zarr")
    assert os.listdir(tmp_path) == []


def test_the_root_is_written_last(tmp_path, monkeypatch):
    from bigimg.conversion import store_metadata

    seen: list[bool] = []
    monkeypatch.setattr(
        store_metadata, "write_manifest", lambda root, *rest: seen.append((root / "zarr.json").exists())
    )
    converted(CountingReader(noise((90, 50)), "yx"), tmp_path / "x.ome.zarr")
    assert seen == [False]
    assert (tmp_path / "x.ome.zarr" / "zarr.json").exists()


def test_progress_reaches_the_total(tmp_path):
    told = []
    converted(
        CountingReader(noise((900, 500)), "yx"),
        tmp_path / "x.ome.zarr",
        progress=told.append,
        chunks=32,
        shards=128,
    )
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert told[-1].done == told[-1].total


def test_errors_of_ours_survive_a_process_boundary():
    """Also as dask pickles them, once it is imported."""
    import pickle

    import distributed  # noqa: F401

    from bigimg import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, BigimgError)]
    for kind in kinds:
        error = kind("a b", needed=2, allowed=1) if kind is errors.BudgetError else kind("a b")
        error.add_note("a note")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.__notes__) == (kind, "a b", ["a note"])
