"""Which image of a file that holds several."""

from __future__ import annotations

import pytest

from bigimg.errors import UsageError
from bigimg.readers.several import Named, pick

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
