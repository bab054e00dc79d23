"""Whatever a library raises, a user gets an error of ours that names the file and what was asked of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest

import bigimg
from bigimg.errors import BudgetError, InputError, InputNotFoundError
from bigimg.readers import registry
from bigimg.readers.boundary import BoundedReader, bounded
from bigimg.types import Array, Region
from tests.virtual import Virtual


class PanicException(BaseException):
    __module__ = "pyo3_runtime"


THEIRS = [TypeError("no"), IndexError(3), RecursionError("too deep"), OSError("HDF5 says no"), AssertionError(),
          StopIteration(), PanicException("index out of range")]  # fmt: skip
OURS = [InputError("a.bin: is cut"), BudgetError("too much", needed=2, allowed=1)]
PASSING = [MemoryError(), KeyboardInterrupt(), SystemExit(3), UserWarning("slow"), *OURS]


class Failing(Virtual):
    """A reader that raises what it is given, or returns an array that nobody asked for."""

    source = "a.bin"

    def __init__(self, error: BaseException | None, given: Array | None = None) -> None:
        super().__init__((6, 8), "u1", "yx", (6, 8))
        self.error, self.given = error, given

    def read(self, region: Region) -> Array:
        if self.error is not None:
            raise self.error
        assert self.given is not None
        return self.given

    def indices(self) -> Failing:
        self.read(())
        return self


def raising(error: BaseException) -> Callable[[], Virtual]:
    def opener() -> Virtual:
        raise error

    return opener


REGION = (slice(1, 4), slice(0, 8))


@pytest.mark.parametrize("error", THEIRS, ids=repr)
def test_errors_of_others_become_ours(error: BaseException) -> None:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    with pytest.raises(InputError) as opening:
        bounded("a.bin", raising(error))
    with pytest.raises(InputError) as reading:
        BoundedReader(Failing(error)).read(REGION)
    for found, asked in ((opening, "opening it"), (reading, "reading y=1:4 x=0:8")):
        assert str(found.value).startswith(f"a.bin: {asked} failed ({text}); ")
        assert found.value.__cause__ is error
    with pytest.raises(InputError, match="reading its palette"):
        BoundedReader(Failing(error)).indices()


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_ours_and_what_ends_a_program_pass(error: BaseException) -> None:
    for work in (
        lambda: bounded("a.bin", raising(error)),
        lambda: BoundedReader(Failing(error)).read(REGION),
    ):
        with pytest.raises(type(error)) as found:
            work()
        assert found.value is error


def test_what_the_system_says_is_told_in_its_words() -> None:
    with pytest.raises(InputNotFoundError, match=r"a\.bin: there is no such file"):
        BoundedReader(Failing(FileNotFoundError(2, "no"))).read(REGION)
    with pytest.raises(InputError, match=r"a\.bin: cannot be read \(Input/output error\)"):
        BoundedReader(Failing(OSError(5, "Input/output error"))).read(REGION)


@pytest.mark.parametrize(
    "given", [np.zeros((3, 7), np.uint8), np.zeros((3, 8), np.int16)], ids=["less", "type"]
)
def test_pixels_that_nobody_asked_for_are_refused(given: Array) -> None:
    with pytest.raises(InputError, match=r"reading y=1:4 x=0:8 gave .* where \(3, 8\) uint8 were asked for"):
        BoundedReader(Failing(None, given)).read(REGION)


def open_failing(path: str) -> Virtual:
    if path.endswith("open.bin"):
        raise ZeroDivisionError("division by zero")
    made = Failing(ZeroDivisionError("division by zero"))
    made.source = path
    return made


@pytest.fixture
def of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format whose reader is broken."""
    broken = replace(
        registry.BUILT_IN[-1], name="broken", opener="tests.readers.test_boundary:open_failing",
        matches=lambda head, name: head == b"broken",
    )  # fmt: skip
    monkeypatch.setattr(registry, "BUILT_IN", (broken,))


@pytest.mark.usefixtures("of_others")
def test_the_boundary_holds_wherever_a_file_is_opened(tmp_path: Path) -> None:
    for name in ("open.bin", "read.bin"):
        (tmp_path / name).write_bytes(b"broken")
    for work in (bigimg.open, bigimg.info, bigimg.imread, bigimg.open_pyramid):
        with pytest.raises(InputError, match=r"open\.bin: opening it failed \(ZeroDivisionError"):
            work(tmp_path / "open.bin")
    image = bigimg.open(tmp_path / "read.bin")
    for made in (image, image.astype(float) * 2, image.chunk(y=2), pickle.loads(pickle.dumps(image))):
        for scheduler in ("threads", "synchronous"):
            with dask.config.set(scheduler=scheduler), pytest.raises(InputError, match="reading y=") as found:
                made.compute()
            assert "read.bin" in str(found.value)
    with pytest.raises(InputError, match="reading y="):
        bigimg.convert(tmp_path / "read.bin", tmp_path / "a.ome.zarr", progress=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["open.bin", "read.bin"]


def test_what_a_reader_has_beside_the_contract_is_there_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12).reshape(3, 4))
    reader = registry.open_file(tmp_path / "a.npy")
    assert reader.paths == (str(tmp_path / "a.npy"),)
    assert not hasattr(reader, "nothing")
    copy = pickle.loads(pickle.dumps(reader))
    assert type(copy) is BoundedReader
    np.testing.assert_array_equal(copy.read((slice(0, 3), slice(1, 2))), [[1], [5], [9]])
