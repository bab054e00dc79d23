"""A pass on a dask cluster: the same bytes as on threads, and one line for each thing that goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import distributed
import numpy as np
import pytest
from click.testing import CliRunner

import bigimg
from bigimg.cli import cli
from bigimg.conversion.cluster import _of_all, chosen_cluster, for_workers
from bigimg.conversion.dask_pool import DaskPool
from bigimg.conversion.dask_workers import versions
from bigimg.conversion.pool import in_window
from bigimg.errors import BudgetError, UsageError, WorkerError
from bigimg.planning.options import options
from bigimg.system.memory import resident_bytes
from tests.conversion.slow_source import Slow, Unread

IMAGE = np.random.default_rng(0).integers(0, 255, (900, 1100), np.uint8)
ASKED: dict[str, Any] = {"chunks": 64, "shards": 128, "progress": False, "sync": False}

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers of a test cannot import a test


@pytest.fixture(autouse=True)
def short_limits() -> Iterator[None]:
    with dask.config.set({"bigimg.stuck": "2s", "bigimg.no-worker": "30s", "bigimg.tries": 9}):
        yield


def started(**more: Any) -> distributed.LocalCluster:
    how = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "memory_limit": "1GB",
        "dashboard_address": "127.0.0.1:0",
        **more,
    }
    return distributed.LocalCluster(silence_logs=50, **how)


@pytest.fixture(scope="module")
def machines() -> Iterator[distributed.LocalCluster]:
    with started() as found:
        yield found


@pytest.fixture
def client(machines: distributed.LocalCluster) -> Iterator[distributed.Client]:
    with distributed.Client(machines) as found:
        found.wait_for_workers(2, timeout=30)
        yield found


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files but the one with the time of the run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file() and "provenance" not in path.parts
    }  # fmt: skip


def converted(source: Any, folder: Path, **more: Any) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    bigimg.convert(source, folder / "a.ome.zarr", **ASKED | more)
    assert os.listdir(folder) == ["a.ome.zarr"]
    return tree(folder / "a.ome.zarr")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "a.npy"
    np.save(path, IMAGE)
    return path


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What threads write; there is no client yet."""
    return converted(source, tmp_path_factory.mktemp("threads") / "threads")


def doubled(patch: np.ndarray) -> np.ndarray:
    return patch * 2


def test_the_same_bytes_as_on_threads(
    expected: dict[str, bytes], source: Path, client: distributed.Client, tmp_path: Path
) -> None:
    """By the active client and by ``executor=``; each of many files; what a function makes of patches; a plate."""
    assert converted(source, tmp_path / "active") == expected
    with client.as_current():
        assert converted(source, tmp_path / "given", executor=client) == expected
    assert bigimg.convert_all([source], tmp_path / "many", executor=client, **ASKED).ok
    assert tree(tmp_path / "many/a.ome.zarr").keys() == expected.keys()
    twice = bigimg.map_patches(
        lambda patch: doubled(patch), source, 200, out=tmp_path / "b.ome.zarr", **ASKED
    )
    np.testing.assert_array_equal(twice["scale0"].image, IMAGE * 2)
    bigimg.convert({"B03": str(source)}, tmp_path / "plate.ome.zarr", **ASKED)
    assert bigimg.verify(tmp_path / "plate.ome.zarr", progress=False).ok


def test_arrays(expected: dict[str, bytes], client: distributed.Client, tmp_path: Path) -> None:
    """A lazy one is computed by workers; this process has the pixels of one that the cluster keeps, or is in memory."""
    lazy = da.from_array(IMAGE, chunks=300)
    for name, array in {"lazy": lazy + 1, "kept": (lazy + 1).persist(), "memory": IMAGE + 1}.items():
        found = bigimg.write(array, tmp_path / f"{name}.ome.zarr", **ASKED)
        np.testing.assert_array_equal(found["scale0"].image, IMAGE + 1)


def test_where_the_pixels_are_read(client: distributed.Client, source: Path) -> None:
    large = np.zeros((9000, 9000), np.uint8)
    readers = {
        name: bigimg.opening.open.open_source(each) for name, each in {"file": source, "large": large}.items()
    }
    with chosen_cluster(None, readers["file"]) as cluster:
        assert cluster is not None
        chosen, resident = for_workers(options(memory="300MB"), cluster, "300MB")
        assert (chosen.memory, chosen.workers) == (300_000_000, 1)
        assert 10e6 < (resident or 0) < 1e9
        assert for_workers(options(), cluster, None)[0].memory == 500_000_000
        assert for_workers(options(memory="3GB"), cluster, "3GB")[0].memory == 750_000_000
    with chosen_cluster(None, readers["large"]) as cluster:
        assert cluster is None


def test_verify(client: distributed.Client, source: Path, tmp_path: Path) -> None:
    converted(source, tmp_path / "a")
    store = tmp_path / "a/a.ome.zarr"
    assert bigimg.verify(store, source, progress=False).ok
    shard = next((store / "scale0/image/c" if (store / "scale0").exists() else store / "0/c").rglob("0"))
    shard = shard if shard.is_file() else next(path for path in shard.rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[40] ^= 1
    shard.write_bytes(data)
    assert not bigimg.verify(store, progress=False).ok


def test_a_conversion_in_each_task(client: distributed.Client, source: Path, tmp_path: Path) -> None:
    targets = [str(tmp_path / f"{n}.ome.zarr") for n in range(3)]
    found = client.gather(client.map(bigimg.convert, [str(source)] * 3, targets, **ASKED, pure=False))
    np.testing.assert_array_equal(found[2]["scale0"].image, IMAGE)

    def share() -> Any:
        return for_workers(options(), None, None)[0]

    chosen = client.submit(share).result()
    assert chosen.workers == 1
    assert chosen.memory <= 500_000_000


def at_once(function: Callable[[], object]) -> Callable[[Any], None]:
    """Return a progress that calls ``function`` when the first block is done."""
    waiting = [function]

    def tell(progress: Any) -> None:
        if progress.done and waiting:
            waiting.pop()()

    return tell


def test_a_killed_worker(
    expected: dict[str, bytes], client: distributed.Client, source: Path, tmp_path: Path
) -> None:
    pid = next(iter(client.run(os.getpid).values()))
    harm = at_once(lambda: os.kill(pid, signal.SIGKILL))
    bigimg.convert(Slow(str(source), 0.02), tmp_path / "a.ome.zarr", **ASKED | {"progress": harm})
    assert objects(tree(tmp_path / "a.ome.zarr")) == objects(expected)


def objects(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if "/c/" in name}


def test_a_stopped_worker(
    expected: dict[str, bytes], client: distributed.Client, source: Path, tmp_path: Path
) -> None:
    pid = next(iter(client.run(os.getpid).values()))
    harm = at_once(lambda: os.kill(pid, signal.SIGSTOP))
    try:
        bigimg.convert(Slow(str(source), 0.02), tmp_path / "a.ome.zarr", **ASKED | {"progress": harm})
    finally:
        os.kill(pid, signal.SIGCONT)
    assert objects(tree(tmp_path / "a.ome.zarr")) == objects(expected)


def test_a_worker_that_is_stopped_before(client: distributed.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.conversion.dask_workers.PATIENCE", 1.5)
    pid = next(iter(client.run(os.getpid).values()))
    os.kill(pid, signal.SIGSTOP)
    try:
        with DaskPool(client) as pool:
            assert len(pool.workers.about()) == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_task_that_never_ends(client: distributed.Client) -> None:
    with dask.config.set({"bigimg.stuck": "0.3s", "bigimg.tries": 2}), DaskPool(client) as pool:
        match = r"a task \(sleep\) did not end in 0.3 s, though it was tried 2 times"
        with pytest.raises(WorkerError, match=match):
            list(in_window(pool, [(time.sleep, 2)]))


def test_cancel(client: distributed.Client, source: Path, tmp_path: Path) -> None:
    """Nothing is written afterwards, though the tasks run on."""

    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bigimg.convert(Slow(str(source), 0.3), tmp_path / "a.ome.zarr", **ASKED | {"progress": stop})
    assert time.monotonic() - begun < 20
    left = sorted(tmp_path.rglob("*"))
    time.sleep(0.6)
    assert sorted(tmp_path.rglob("*")) == left
    assert all(path.parts[len(tmp_path.parts)] == ".a.ome.zarr.bigimg" for path in left)


def test_what_a_worker_cannot_do(client: distributed.Client, source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WorkerError, match=r"the worker tcp://\S+ cannot read it \(no module named x\); mend that"
    ):
        bigimg.convert(Unread(str(source)), tmp_path / "a.ome.zarr", **ASKED)
    with DaskPool(client) as pool, pytest.raises(WorkerError, match="does not see this folder"):
        pool.workers.check_reading(tmp_path / "absent", None)


def test_another_version(client: distributed.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    other = versions() | {"imagecodecs": "1.0"}
    monkeypatch.setattr("bigimg.conversion.dask_workers.versions", lambda: other)
    with DaskPool(client) as pool:
        with pytest.raises(
            WorkerError, match=r"has imagecodecs \S+, and this process 1.0, so the bytes may differ"
        ):
            pool.share_of_worker(None)
        monkeypatch.setattr("bigimg.conversion.dask_pool.versions", lambda: other)
        future: Future[Any] = pool.submit(abs, 1)
        with pytest.raises(WorkerError, match="the worker that has come has imagecodecs"):
            future.result(10)


def test_what_is_no_cluster(client: distributed.Client, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="executor='threads' runs nothing"):
        bigimg.convert(source, tmp_path / "a.ome.zarr", executor="threads", **ASKED)  # type: ignore[arg-type]
    with (
        dask.config.set({"bigimg.stuck": "soon"}),
        pytest.raises(UsageError, match=r"bigimg.stuck: 'soon'; give a time"),
    ):
        bigimg.convert(source, tmp_path / "a.ome.zarr", **ASKED)
    assert os.listdir(tmp_path) == []


def test_threads_that_do_not_fit(tmp_path: Path) -> None:
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (8000, 8000)).flush()
    with (
        started(n_workers=1, threads_per_worker=16, processes=False, memory_limit=0) as machines,
        distributed.Client(machines),
    ):
        memory = resident_bytes() + 120_000_000
        with pytest.raises(BudgetError, match=r"a worker has 16 threads, and memory for \d") as caught:
            bigimg.convert(
                tmp_path / "a.npy",
                tmp_path / "b.ome.zarr",
                memory=memory,
                **ASKED | {"chunks": 1000, "shards": 2000},
            )
        assert any("--nthreads" in way for way in caught.value.ways)
    assert os.listdir(tmp_path) == ["a.npy"]


def test_no_workers_and_no_scheduler(source: Path, tmp_path: Path) -> None:
    quick = {"bigimg.no-worker": "3s", "distributed.comm.timeouts.connect": "1s"}
    with dask.config.set(quick), started(n_workers=0) as machines, distributed.Client(machines) as client:
        with pytest.raises(WorkerError, match=r"the scheduler tcp://\S+ has no workers; start some"):
            bigimg.convert(source, tmp_path / "a.ome.zarr", **ASKED)
        with DaskPool(client) as pool, pytest.raises(WorkerError, match="has had no worker for 3 s"):
            list(in_window(pool, [(abs, 1)]))
        with DaskPool(client) as pool:
            machines.scheduler.loop.add_callback(machines.scheduler.close)
            with pytest.raises(
                WorkerError, match=r"the scheduler \S+ (is gone|takes no task)|was lost by the cluster"
            ):
                list(in_window(pool, [(abs, 1)]))
    assert os.listdir(tmp_path) == []


def test_the_command(
    expected: dict[str, bytes],
    machines: distributed.LocalCluster,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, store = ["--scheduler", machines.scheduler_address], str(tmp_path / "a.ome.zarr")
    run = CliRunner().invoke
    made = run(cli, ["convert", str(source), store, "--chunks", "64", "--shards", "128", "-q", *where])
    assert made.exit_code == 0, made.output
    assert tree(tmp_path / "a.ome.zarr") == expected
    assert run(cli, ["verify", store, str(source), *where]).exit_code == 0
    both = run(cli, ["verify", store, "--processes", *where])
    assert "give one of them" in both.output
    monkeypatch.setattr("bigimg.conversion.cluster.CONNECT_SECONDS", 0.5)
    gone = run(cli, ["verify", store, "--scheduler", "tcp://127.0.0.1:1"])
    assert isinstance(gone.exception, WorkerError), gone.output
    assert "the scheduler tcp://127.0.0.1:1 cannot be reached" in str(gone.exception)


def test_a_refusal_names_the_budget_of_all_processes() -> None:
    error = BudgetError(
        "a.tif: needs 135 MB:", needed=135_000_000, allowed=128_000_000, ways=["use memory='140MB'"]
    )
    said = str(_of_all(error, 2))
    assert said == "a.tif: needs 135 MB, in each of 2 processes: use memory='279MB'"
