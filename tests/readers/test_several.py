"""Which image of a file that holds several."""

from __future__ import annotations

import pytest

from bigimg.errors import InputError, UsageError
from bigimg.readers.several import Named, pick, pick_indices

THREE = [Named("before", (2, 9, 8)), Named("after", (9, 8)), Named("", (1, 1))]


def test_the_main_one_by_default() -> None:
    number, said = pick("a.lif", THREE, None, main=1)
    assert number == 1
    assert said == (
        "the file has 3 series, and this is 1: 0 before (2 x 9 x 8), 1 after (9 x 8), 2 (1 x 1); "
        "choose with series=NUMBER",
    )


def test_by_number_and_by_name() -> None:
    assert pick("a.lif", THREE, 2)[0] == 2
    assert pick("a.lif", THREE, "after")[0] == 1
    assert pick("a.lif", THREE[:1], 0) == (0, ())


@pytest.mark.parametrize("wanted", [3, -1, "during"])
def test_what_is_not_there_is_refused_with_a_list(wanted: int | str) -> None:
    with pytest.raises(UsageError, match=r"there is no series .*; it has 0 before"):
        pick("a.lif", THREE, wanted)


def test_one_index_along_other_axes() -> None:
    there = {"H": [2, 3, 5], "B": [0]}
    index, said = pick_indices("a.czi", "scene 0", there, {"H": 5, "B": 0})
    assert index == {"H": 5, "B": 0}
    assert said == ("scene 0 has the axis H (2 to 5), and this is 5",)
    assert pick_indices("a.czi", "scene 0", {"B": [4]}, None) == ({"B": 4}, ())
    with pytest.raises(InputError, match=r"H \(2 to 5\), of which one must be chosen: axis=\{'H': 2\}"):
        pick_indices("a.czi", "scene 0", there, {"B": 0})
    with pytest.raises(UsageError, match=r"axis=\{'H': 4\}: scene 0 has the axis H"):
        pick_indices("a.czi", "scene 0", there, {"H": 4})
    with pytest.raises(UsageError, match="scene 0 has no axis Q to choose from, it has none of this kind"):
        pick_indices("a.czi", "scene 0", {}, {"Q": 0})
