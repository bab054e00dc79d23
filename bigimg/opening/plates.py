"""``open_plate``: the wells of a plate and their images, each opened when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bigimg.errors import InputError, UsageError
from bigimg.geometry.lengths import Pixels
from bigimg.opening.open import Memory
from bigimg.opening.open import open as open_image
from bigimg.opening.plate_info import PlateInfo, plate_info
from bigimg.opening.sources import Asked, may_be_store, plate_among, zipped_store
from bigimg.places.address import is_store_url
from bigimg.readers.plates.source import PlateSource
from bigimg.readers.registry import no_options
from bigimg.types import Opening

if TYPE_CHECKING:
    import pandas
    import xarray

    from bigimg.omezarr.plates import FieldMeta, PlateMeta
    from bigimg.omezarr.store import Store
    from bigimg.omezarr.tree import Tree


@dataclass(frozen=True, slots=True)
class Well:
    """A well of a plate and its fields."""

    name: str
    """As ``B/03``."""
    row: str
    column: str
    fields: tuple[FieldMeta, ...]
    """Path and acquisition of each."""


@dataclass(frozen=True, slots=True, repr=False)
class Plate:
    """A plate: ``plate["B03"]`` and ``plate["B/03", 1]`` are lazy images, and a loop gives its wells.

    A document of a well is read when the well is asked for, and no pixel before an image is computed.
    """

    source: str
    meta: PlateMeta
    tree: Tree = field(compare=False)
    memory: Memory = None

    @property
    def info(self) -> PlateInfo:
        """What the plate says of itself, with a map of its wells."""
        return plate_info(self.source, self.meta)

    @property
    def wells(self) -> tuple[str, ...]:
        """Names of the wells with images, row by row, as ``B/03``."""
        return tuple(map(str, self.meta.wells))

    @property
    def table(self) -> pandas.DataFrame:
        """A row for each field: well, row, column, field, acquisition and path in the plate; all wells are read."""
        import pandas

        rows = [
            (well.name, well.row, well.column, each.path, each.acquisition, f"{well.name}/{each.path}")
            for well in self
            for each in well.fields
        ]
        return pandas.DataFrame(rows, columns=["well", "row", "column", "field", "acquisition", "path"])

    def well(self, name: str) -> Well:
        """Return a well by its name: ``B/03``, ``B03`` or ``b3``.

        Raises
        ------
        UsageError
            The plate has no such well.
        InputError
            Its document is gone, or makes no sense.
        """
        from bigimg.omezarr.plate_tree import fields_of, well_named

        found = well_named(self.meta, name, source=self.source)
        row, column = self.meta.rows[found.row], self.meta.columns[found.column]
        return Well(found.path, row, column, fields_of(self.tree, found.path))

    def open(
        self,
        well: str,
        field: int | str | None = 0,
        *,
        level: int = 0,
        raw: bool = False,
        chunks: Pixels | None = None,
    ) -> xarray.DataArray:
        """Return the image of one field, lazy; the options are those of :func:`bigimg.open`.

        Parameters
        ----------
        well : str
            ``B/03``, ``B03`` or ``b3``.
        field : int or str
            Its number or path; None is the first.

        Raises
        ------
        UsageError
            There is no such well, field or level.
        InputError, IntegrityError, BudgetError
            As :func:`bigimg.open`.
        """
        store = self.store(well, field)
        return open_image(store, level=level, memory=self.memory, raw=raw, chunks=chunks)

    def store(self, well: str, field: int | str | None = 0) -> Store:
        """Return the opened store of one field, with all its levels."""
        from bigimg.omezarr.open import open_store
        from bigimg.omezarr.plate_tree import field_in, well_named

        path = well_named(self.meta, well, source=self.source).path
        return open_store(self.tree, series=field_in(self.tree, path, field))

    def alone(self, path: str) -> Store:
        """Return the opened store of the field at ``path``, as ``B/03/0``; in a folder without a look at the plate."""
        from bigimg.omezarr.open import open_store

        if self.tree.folder is not None:
            return open_store(self.tree.folder / path)
        return open_store(self.tree, series=path)

    def __getitem__(self, key: str | tuple[str, int | str]) -> xarray.DataArray:
        well, number = key if isinstance(key, tuple) else (key, None)
        if not isinstance(well, str):
            raise UsageError(
                f"{self.source}: give a well, or a well and a field, as in plate['{self.wells[0]}', 0]"
            )
        return self.open(well, number)

    def __iter__(self) -> Iterator[Well]:
        return map(self.well, self.wells)

    def __len__(self) -> int:
        return len(self.meta.wells)

    def __repr__(self) -> str:
        return repr(self.info)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values, as those of :func:`bigimg.info`."""
        return self.info.to_dict()


def plate_in(source: Any, opening: Opening) -> Plate | PlateSource | None:
    """Return the plate that ``source`` is; None for anything that is one image.

    Parameters
    ----------
    source : path, address, pattern, Plate or PlateSource
    opening : Opening
        How it is opened; with a ``series`` a path is that of one field.

    Raises
    ------
    InputError, UsageError
        It is a plate, and makes no sense; or an option means nothing for it.
    """
    if isinstance(source, PlateSource):
        return source
    asked = Asked(opening)
    if isinstance(source, str | os.PathLike) and asked.series is None:
        name = os.fspath(source)
        found = _stored(name, asked) or plate_among(name, asked)
    else:
        found = source if isinstance(source, Plate) else None
    if isinstance(found, Plate):
        no_options(found.source, asked.of_readers)
    return found


def _stored(name: str, asked: Asked) -> Plate | None:
    """Return the plate in the store at ``name``; None where there is no store, or one that cannot be read."""
    tree = zipped_store(name, asked)
    if tree is None:
        stored = os.path.isdir(name) or name.lower().endswith((".ozx", ".zip")) or is_store_url(name)
        if not (stored and may_be_store(name)):
            return None
        from bigimg.omezarr.tree import tree_of

        try:
            tree = tree_of(name)
            if tree.node("") is None:
                return None
        except (InputError, OSError, ValueError, ImportError):  # whoever opens it says what is wrong
            return None
    from bigimg.omezarr.plate_tree import plate_of

    meta = plate_of(tree)
    return None if meta is None else Plate(tree.path, meta, tree)


def open_plate(source: str | os.PathLike[str], *, memory: Memory = None) -> Plate:
    """Return the plate at ``source``; neither its wells nor their pixels are read.

    Parameters
    ----------
    source : path or URL
        Of an OME-Zarr plate, in a zip file too.
    memory : int or str, optional
        The budget of each image that is opened, as in :func:`bigimg.open`.

    Returns
    -------
    Plate
        ``plate["B03"]`` and ``plate["B/03", 1]`` are DataArrays of shape (t, c, z, y, x), of which those axes that the
        image has; ``for well in plate`` gives wells with their fields; ``.table`` is a DataFrame of all fields.

    Raises
    ------
    InputNotFoundError, InputError
        There is nothing, or no plate that can be read.
    """
    found = _stored(os.fspath(source), Asked({}))
    if found is None:
        if not os.path.lexists(source):
            from bigimg.omezarr.open import open_store

            open_store(source)  # it says why there is none
        raise InputError(f"{os.fspath(source)}: is no OME-Zarr plate; open an image with bigimg.open")
    return replace(found, memory=memory)
