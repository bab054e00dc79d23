"""Which image of a file that holds several: a scene, a position, a well, a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bigimg.errors import InputError, UsageError
from bigimg.types import Shape

MOST_LISTED = 9
AND_THIS_IS = ", and this is "
"""What every sentence on images that were not chosen says."""


class Named(NamedTuple):
    """An image of a file."""

    name: str
    """Empty where the file has none."""
    shape: Shape


class NoSuchSeries(UsageError):
    """A file does not have the image that is wanted; ``every`` are those that it has."""

    def __init__(self, text: str = "", every: Sequence[Named] = ()) -> None:
        super().__init__(text)
        self.every = tuple(every)


NONE = "\0"
"""The name of no image."""


def every_image(refuse: Callable[[str], object]) -> tuple[Named, ...]:
    """Return all images of a file.

    Parameters
    ----------
    refuse : callable
        Opens the file with the series that it is called with, which it cannot have.
    """
    try:
        refuse(NONE)
    except NoSuchSeries as error:
        return error.every
    except UsageError:  # the format has one image a file
        pass
    return ()


def pick(
    path: str, every: Sequence[Named], wanted: int | str | None, *, main: int | None = 0
) -> tuple[int, tuple[str, ...]]:
    """Return the number of the image that is ``wanted``, and a sentence about the others.

    Parameters
    ----------
    path : str
        Of the file, for the message.
    every : sequence of Named
        All images of the file.
    wanted : int or str, optional
        Number or name.
    main : int
        Which one is taken where none is wanted; None if a user must choose.

    Raises
    ------
    NoSuchSeries
        There is no such image.
    InputError
        None is wanted, and one must be.

    Examples
    --------
    >>> pick("a.lif", [Named("before", (9, 9)), Named("after", (9, 9))], "after")[0]
    1
    """
    if wanted is None and main is None:
        raise InputError(f"{path}: has {_listed(every)}; choose one with series=NUMBER")
    number = wanted if isinstance(wanted, int) else main or 0
    if isinstance(wanted, str):
        number = next((i for i, each in enumerate(every) if each.name == wanted), -1)
    if not 0 <= number < len(every):
        raise NoSuchSeries(f"{path}: there is no series {wanted!r}; it has {_listed(every)}", every)
    if len(every) < 2:
        return number, ()
    others = (
        f"the file has {len(every)} series{AND_THIS_IS}{number}: {_listed(every)}; choose with series=NUMBER"
    )
    return number, (others,)


def pick_indices(
    path: str, what: str, there: Mapping[str, Sequence[int]], axis: Mapping[str, int] | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return one index along each axis of a file that is none of t c z y x, and sentences about the others.

    Parameters
    ----------
    path : str
        Of the file, for messages.
    what : str
        The image, for messages: ``series 0``.
    there : mapping of str to sequence of int
        The indices along each such axis, in ascending order.
    axis : mapping of str to int, optional
        What a user chose; an axis of length 1 needs no choice.

    Raises
    ------
    UsageError
        A user chose an index, or an axis, that is not there.
    InputError
        An axis lacks a choice.

    Examples
    --------
    >>> pick_indices("a.czi", "scene 0", {"H": range(5), "B": [0]}, {"H": 3})
    ({'H': 3, 'B': 0}, ('scene 0 has the axis H (0 to 4), and this is 3',))
    """
    found, said, asked = {}, [], dict(axis or {})
    for name in asked.keys() - there.keys():
        known = " and ".join(there) or "none of this kind"
        raise UsageError(f"{path}: axis={asked!r}: {what} has no axis {name} to choose from, it has {known}")
    for name, indices in there.items():
        has = f"{what} has the axis {name} ({indices[0]} to {indices[-1]})"
        if name not in asked and len(indices) > 1:
            raise InputError(f"{path}: {has}, of which one must be chosen: axis={{{name!r}: {indices[0]}}}")
        found[name] = asked.get(name, indices[0])
        if found[name] not in indices:
            raise UsageError(f"{path}: axis={{{name!r}: {found[name]!r}}}: {has}; choose one of these")
        if len(indices) > 1:
            said.append(f"{has}{AND_THIS_IS}{found[name]}")
    return found, tuple(said)


def on_others(notes: Sequence[str]) -> str:
    """Return those of the ``notes`` of a source that say which of several images it is; empty if it is the only one."""
    return "; ".join(note for note in notes if AND_THIS_IS in note)


def only_photos(path: str) -> InputError:
    """Return the error of a slide that holds nothing but photos, which nobody gets who did not ask for them."""
    what = "holds only photos of a glass slide and its label, which may name a person"
    return InputError(f"{path}: {what}; choose one all the same with series=0")


def _listed(every: Sequence[Named]) -> str:
    """Return numbers, names and shapes of the first images: positions of a stack are thousands."""
    shown = [
        f"{i} {each.name}".strip() + (f" ({' x '.join(map(str, each.shape))})" if each.shape else "")
        for i, each in enumerate(every[:MOST_LISTED])
    ]
    return ", ".join([*shown, *(["…"] if len(every) > MOST_LISTED else [])])
