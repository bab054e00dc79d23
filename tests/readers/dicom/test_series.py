"""Slices in order or refused: 200 series that someone dropped, doubled, shuffled, tilted or mixed, and none wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from bigimg.errors import InconsistentSeries, InputError
from bigimg.geometry.affine import index_to_world
from bigimg.readers.dicom.reader import open_dicom_files
from bigimg.readers.dicom.series import Slice, stack
from bigimg.types import Array
from tests.readers.dicom.dicom_files import place, save, series, uid

SERIES = 200
LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


def turned(rng: np.random.Generator) -> Array:
    """Return three directions at right angles, at random."""
    found, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(found if np.linalg.det(found) > 0 else -found)


class Made:
    """A series on disk and the truth about it; each method does to it what people and networks do."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.folder = folder
        self.volume = rng.integers(-1000, 1000, (int(rng.integers(5, 12)), 4, 3)).astype(np.int16)
        x, y, z = turned(rng).T
        self.spacing = rng.uniform(0.3, 2, 2).round(4)
        self.step = z * rng.uniform(0.5, 6)
        self.orientation = (*x, *y)
        self.paths = series(
            folder, self.volume, step=self.step, orientation=self.orientation, spacing=self.spacing
        )
        self.affine = np.eye(4)
        self.affine[:3] = np.stack(
            [x * self.spacing[1], y * self.spacing[0], self.step, (-20, 10, 5)], axis=1
        )
        self.affine = LPS_TO_RAS @ self.affine

    def change(self, index: int, path: Path | None = None, **tags: Any) -> None:
        """Write a slice again with other tags."""
        made = dcmread(self.paths[index])
        for name, value in tags.items():
            setattr(made, name, value)
        save(made, path or self.paths[index])

    def inside(self) -> int:
        """Return a slice that is neither the first nor the last."""
        return int(self.rng.integers(1, len(self.volume) - 1))

    # What leaves the series right:

    def shuffled(self) -> None:
        self.paths = [self.paths[i] for i in self.rng.permutation(len(self.paths))]

    def cut_at_an_end(self) -> None:
        first = bool(self.rng.integers(2))
        self.volume = self.volume[1:] if first else self.volume[:-1]
        self.paths = self.paths[1:] if first else self.paths[:-1]
        if first:
            self.affine = self.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1.0]])

    def renumbered(self) -> None:
        """InstanceNumber says nothing of space."""
        for i, number in enumerate(self.rng.permutation(len(self.paths))):
            self.change(i, InstanceNumber=int(number))

    # What must be refused:

    def dropped(self) -> None:
        del self.paths[self.inside()]

    def two_dropped(self) -> None:
        for index in sorted(self.rng.choice(np.arange(1, len(self.volume) - 1), 2, replace=False))[::-1]:
            del self.paths[index]

    def copied(self) -> None:
        index = self.inside()
        extra = self.folder / "copy.dcm"
        extra.write_bytes(self.paths[index].read_bytes())
        self.paths.append(extra)

    def sent_twice(self) -> None:
        """The same place with an id of its own."""
        index, extra = self.inside(), self.folder / "again.dcm"
        self.change(index, extra, SOPInstanceUID=uid("again"), InstanceNumber=900)
        self.paths.append(extra)

    def all_copied(self) -> None:
        for path in list(self.paths):
            extra = path.with_name(f"copy of {path.name}")
            extra.write_bytes(path.read_bytes())
            self.paths.append(extra)

    def tilted(self) -> None:
        along = np.asarray(self.orientation[3:]) * np.linalg.norm(self.step) * self.rng.uniform(0.05, 0.6)
        for i in range(len(self.paths)):
            self.change(i, ImagePositionPatient=place(i, step=self.step + along))

    def one_moved(self) -> None:
        index = self.inside()
        aside = np.asarray(self.orientation[:3]) * self.rng.uniform(5, 20)
        position = np.array([float(v) for v in place(index, step=self.step)]) + aside
        self.change(index, ImagePositionPatient=[f"{v:.8g}" for v in position])

    def one_nearer(self) -> None:
        index = self.inside()
        self.change(index, ImagePositionPatient=place(index + self.rng.uniform(0.2, 0.8), step=self.step))

    def one_turned(self) -> None:
        other = turned(self.rng).T
        self.change(self.inside(), ImageOrientationPatient=[f"{v:.8g}" for v in (*other[0], *other[1])])

    def one_larger(self) -> None:
        self.change(self.inside(), Rows=6, PixelData=bytes(6 * 3 * 2))

    def one_finer(self) -> None:
        self.change(self.inside(), PixelSpacing=[f"{v / 2:.8g}" for v in self.spacing])

    def one_unsigned(self) -> None:
        self.change(self.inside(), PixelRepresentation=0)

    def one_of_another_series(self) -> None:
        self.change(self.inside(), SeriesInstanceUID=uid("other"))

    def one_without_a_place(self) -> None:
        self.change(self.inside(), ImagePositionPatient=None)


RIGHT = (Made.shuffled, Made.cut_at_an_end, Made.renumbered)
WRONG = (
    Made.dropped, Made.two_dropped, Made.copied, Made.sent_twice, Made.all_copied, Made.tilted, Made.one_moved,
    Made.one_nearer, Made.one_turned, Made.one_larger, Made.one_finer, Made.one_unsigned,
    Made.one_of_another_series, Made.one_without_a_place,
)  # fmt: skip


@pytest.mark.parametrize("start", range(0, SERIES, 20))
def test_two_hundred_series_are_right_or_refused(start: int, tmp_path: Path):
    for seed in range(start, start + 20):
        made = Made(tmp_path / str(seed), seed)
        change: Callable[[Made], None] = (*RIGHT, *WRONG)[seed % (len(RIGHT) + len(WRONG))]
        change(made)
        made.shuffled() if change in WRONG else None
        paths = [str(path) for path in made.paths]
        if change in WRONG:
            with pytest.raises(InputError, match=str(made.folder)) as refused:
                open_dicom_files(paths)
            assert "\n" not in str(refused.value)
            assert change is Made.one_of_another_series or isinstance(refused.value, InconsistentSeries), (
                change
            )
            continue
        reader = open_dicom_files(paths)
        found = reader.read(tuple(slice(0, n) for n in reader.spec.shape))
        np.testing.assert_array_equal(found, made.volume, err_msg=f"{seed} {change.__name__}")
        np.testing.assert_allclose(
            index_to_world(reader.spec.axes, reader.spec.world), made.affine, atol=1e-6
        )


def line(count: int, *, step: float = 2.0, **changes: Any) -> list[Slice]:
    one = Slice("s", (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0), (1.0, 1.0))
    return [replace(one, name=f"s{i}", position=(3.0, 4.0, i * step), **changes) for i in range(count)]


@given(st.permutations(range(9)), st.floats(0.01, 50))
def test_the_order_of_files_says_nothing(order: list[int], step: float):
    slices = line(9, step=step)
    found = stack([slices[i] for i in order], "here")
    assert [order[i] for i in found.order[0]] == list(range(9))
    assert found.step == pytest.approx((0, 0, step))


@given(st.integers(2, 5), st.integers(1, 6), st.randoms(use_true_random=False), st.booleans())
def test_times_and_places_come_apart(times: int, depth: int, random: Any, by_place: bool):
    """Numbered volume by volume, or place by place: both are told apart by the numbers themselves."""
    slices = []
    for t in range(times):
        for z, one in enumerate(line(depth)):
            number = z * times + t if by_place else t * depth + z
            slices.append(replace(one, name=f"{t} {z}", keys={"InstanceNumber": number}))
    shuffled = copy.copy(slices)
    random.shuffle(shuffled)
    found = stack(shuffled, "here")
    assert [[shuffled[i].name for i in row] for row in found.order] == [
        [f"{t} {z}" for z in range(depth)] for t in range(times)
    ]


@given(st.integers(3, 5), st.integers(3, 6), st.integers(0, 99), st.integers(0, 99))
def test_a_time_that_stands_in_for_another_is_refused(times: int, depth: int, which: int, number: int):
    """One slice is gone and a later one is there twice, so the counts are right and the order is not."""
    slices = [
        replace(one, name=f"{t} {z}", keys={"InstanceNumber": t * depth + z})
        for t in range(times) for z, one in enumerate(line(depth))
    ]  # fmt: skip
    gone = which % (len(slices) - depth)
    taken = slices[gone]
    later = slices[gone + depth]
    slices[gone] = replace(later, name="again", keys={"InstanceNumber": 1000 + number})
    with pytest.raises(InconsistentSeries, match="no tag orders them"):
        stack(slices, f"without {taken.name}")


def test_the_better_tag_decides_and_gives_the_time():
    slices = [
        replace(one, keys={"TriggerTime": 100.0 * t + z, "InstanceNumber": 99.0 - t})
        for t in range(3) for z, one in enumerate(line(4))
    ]  # fmt: skip
    found = stack(slices, "here")
    assert found.t_step == pytest.approx(0.1)
    assert found.order[:, 0].tolist() == [0, 4, 8]
    assert "TriggerTime" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        (
            lambda s: s[:3] + s[5:],
            r"2 mm apart, but 2 slices of 9 are missing, at 6 to 8 mm \(after slice 2\); complete",
        ),
        (
            lambda s: [*s, replace(s[4], uid="9")],
            r"8 of 9 positions have 1 slice each, and 1 another number \(2 at 8 mm\)",
        ),
        (
            lambda s: [replace(x, position=(0, x.position[2], x.position[2])) for x in s],
            "tilted by 45 degrees",
        ),
        (lambda s: [replace(x, uid="1") for x in s[:2]] + s[2:], "1 of 9 slices .* s0 and s1"),
        (
            lambda s: [replace(s[0], spacing=(1.0, 2.0)), *s[1:]],
            r"8 slices .* 1 x 1 mm and 1 \(s0\) of 1 x 2 mm",
        ),
        (lambda s: [replace(s[0], position=None), *s[1:]], "8 of 9 slices have a position and s0 has none"),
        (lambda s: [replace(x, orientation=(1.0, 0, 0, 1, 0, 0)) for x in s], "not a pair of directions"),
        (lambda s: [replace(x, position=None) for x in s], "InstanceNumber has 0 different values"),
    ],
)
def test_what_is_wrong_is_said_with_numbers(change: Callable[[list[Slice]], list[Slice]], numbers: str):
    with pytest.raises(InconsistentSeries, match=f"^here: .*{numbers}"):
        stack(change(line(9)), "here")


def test_a_shift_of_rounding_is_kept_and_not_refused():
    slices = [replace(s, position=(3.0 + i * 0.002, 4.0, i * 2.0)) for i, s in enumerate(line(9))]
    assert stack(slices, "here").step == pytest.approx((0.002, 0, 2))
