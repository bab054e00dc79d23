"""Which files are one image: those of a folder, of a pattern or of a list.

A pattern with fields, as ``img_{c}_{t:03}.tif``, says where each file lies. Other files are planes along z in natural
order, unless their names have several numbers that vary. DICOM files have an order of their own;
:mod:`bigimg.readers.dicom.reader` reads folders of them.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bigimg.errors import InputError, InputNotFoundError, UnknownFormatError, UsageError, counted
from bigimg.reader import Reader
from bigimg.readers.boundary import bounded
from bigimg.readers.dicom.study import SYSTEM, Study, may_be_dicom, study_below
from bigimg.readers.folders.grid import arranged, stacked
from bigimg.readers.folders.members import How, lacking
from bigimg.readers.folders.numbering import natural_key, numbering_notes, patterns_note, plane_pattern
from bigimg.readers.folders.pattern import files_that_follow, is_pattern
from bigimg.readers.folders.proposal import names_below, proposed
from bigimg.readers.folders.reader import GridReader
from bigimg.readers.registry import find_format, no_options, only_image, open_file
from bigimg.readers.several import Named, pick
from bigimg.readers.sniffing import document_in, head_inside, is_dicom

OF_FILES = frozenset({"allow_partial", "axes", "pages"})
"""Options that files as planes take."""
OF_PATTERNS = OF_FILES | {"on_gap"}
"""Options that files of a pattern take."""


def open_folder(
    path: str | os.PathLike[str], *, series: int | str | None = None, pattern: str | None = None, **asked: Any
) -> Reader:
    """Return a reader of all files in a folder, or of those that a pattern such as ``scan/*.tif`` matches.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which series, where DICOM files or ``{field}`` in a pattern make several.
    pattern : str, optional
        Of the names of the files in the folder, see :mod:`bigimg.readers.folders.pattern`.
    **asked
        Other options of :class:`bigimg.types.Opening`. By ``allow_partial`` a file that cannot be opened is a hole.

    Raises
    ------
    InputNotFoundError
        There is no such folder, or nothing in it matches.
    InputError
        The files are of several formats, or not planes of one size and type.
    """
    name = os.fspath(path)
    if pattern is not None and not os.path.isdir(name):
        raise UsageError(
            f"{name}: pattern={pattern!r} is for a folder, and this is none; write one pattern of the path"
        )
    if pattern is not None:
        escaped = name.replace("{", "{{").replace("}", "}}")
        return open_pattern(os.path.join(escaped, pattern), series=series, **asked)
    if not os.path.isdir(name):
        if is_pattern(name):
            return open_pattern(name, series=series, **asked)
        found = [each for each in glob.glob(name, recursive=True) if os.path.isfile(each)]
        if not found:
            raise InputNotFoundError(f"{name}: no file matches; check the pattern and the folder")
        return open_files(found, source=name, series=series, **asked)
    if document_in(name) is not None:
        return open_file(name, series=series, **asked)
    with os.scandir(name) as entries:
        ours = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in SYSTEM]
        files = [entry.path for entry in ours if not entry.is_dir()]
    folders = len(ours) - len(files)
    if (folders or not files) and not any(_is_picture(path) for path in files):
        study = study_below(name)
        if study.paths:
            return _open_study(study, series, asked)
    if not files and not folders:
        raise UnknownFormatError(f"{name}: is a folder, and it is empty; give one that holds an image")
    if folders:
        both = f"{counted(folders, 'folder')} and {counted(len(files), 'file')}"
        remedy = f"give one folder, or a pattern as in '{os.path.join(name, '*.tif')}'"
        if (found_below := proposed(names_below(name))) is not None:
            pattern, told = found_below
            remedy = f"say what the names of the files below mean, as by pattern='{pattern}' ({told})"
        raise InputError(f"{name}: holds {both}, so which are the planes is not known; {remedy}")
    return open_files(files, source=name, series=series, **asked)


def open_pattern(text: str, *, series: int | str | None = None, **asked: Any) -> Reader:
    """Return a reader of the files that follow a pattern, as ``run/img_{c}_{t:03}_z{z:04}.tif``.

    Parameters
    ----------
    text : str
        See :mod:`bigimg.readers.folders.pattern`. Without fields, the files are planes along z in natural order.
    series : int or str, optional
        Which image, where ``{field}`` makes several; patterns with ``{well}`` are plates.
    **asked
        Other options of :class:`bigimg.types.Opening`.

    Raises
    ------
    UsageError
        The pattern makes no sense.
    InputNotFoundError
        No file follows it.
    InputError
        Planes have no file or several, or the files are not alike.
    """
    no_options(text, asked, but=OF_PATTERNS)
    table, more = files_that_follow(text, on_gap=asked.get("on_gap"))
    how = _how(asked)
    if not table.fields:
        only_image(text, series)
        return GridReader(stacked(sorted(table.names, key=natural_key)), text, how, plain=True)
    fields = {f"field {value}": table.select("field", value) for value in table.values.get("field", ())}
    every = fields or {"": table}
    named = [Named(name, tuple(map(len, each.values.values()))) for name, each in every.items()]
    number, others = pick(text, named, series)
    grid = arranged(every[named[number].name], text, asked.get("on_gap"))
    told = [f"the names say {grid.told}"] if grid.axes else []
    if more:
        told.append(
            f"{counted(more, 'file')} beside them {'does' if more == 1 else 'do'} not follow the pattern"
        )
    return GridReader(grid, text, how, of_source=[*told, *others])


def open_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    source: str | None = None,
    series: int | str | None = None,
    **asked: Any,
) -> Reader:
    """Return a reader of ``paths`` as planes along z, put in natural order.

    Parameters
    ----------
    paths : sequence of str or path-like
    source : str, optional
        Their name together; by default the first and the last path.
    series : int or str, optional
        Which series, where DICOM files hold several.
    **asked
        Other options of :class:`bigimg.types.Opening`. By ``allow_partial`` a file that cannot be opened is a hole.

    Raises
    ------
    InputNotFoundError, UnknownFormatError
        A file is not there, or of no format that is read.
    InputError
        The files are of several formats, or not planes of one size and type.
    """
    no_options(source or "list of files", asked, but=asked.keys() - {"pattern"})
    names = [os.fspath(path) for path in paths]
    if not names:
        raise UsageError("an empty list of files is no image; give the paths of its planes")
    ordered, given = sorted(names, key=natural_key), source is not None
    notes: tuple[str, ...] = ()
    if source is None:
        source = f"{ordered[0]} … {os.path.basename(ordered[-1])}" if len(ordered) > 1 else ordered[0]
        if ordered != names:
            notes = ("the files were put in natural order; bigimg.stack keeps the order of a list",)
    if given and (study := _study_among(ordered)).paths:  # a person who lists the files means each of them
        return _open_study(study, series, asked)
    if given:
        _refuse_grid(source, ordered)
    partial = bool(asked.get("allow_partial"))
    if _one_format(ordered, source, partial=partial) == "dicom":
        return _open_study(Study(ordered, 0), series, asked)
    only_image(source, series)
    numbering, told = numbering_notes(ordered), list(patterns_note(ordered))
    if given and (pattern := _pattern_of_planes(source, ordered)) is not None:
        if "on_gap" in asked:
            what = f"on_gap={asked['on_gap']!r} is for DICOM series and patterns of files"
            raise UsageError(f"{source}: {what}; say what the names mean, as by {pattern}")
        if any("lacks" in note for note in numbering):
            told.append(
                f"to take what the numbering lacks for missing planes, give on_gap='fill' and {pattern}"
            )
    no_options(source, asked, but=OF_FILES)
    return GridReader(
        stacked(ordered), source, _how(asked), notes=(*notes, *numbering), of_source=told, plain=True
    )


def _pattern_of_planes(source: str, paths: Sequence[str]) -> str | None:
    """Return how a user says that the files of a folder, or of a glob, are numbered planes; None where they are not."""
    folders = {os.path.dirname(path) for path in paths}
    pattern = plane_pattern([os.path.basename(path) for path in paths]) if len(folders) == 1 else None
    if pattern is None or os.path.isdir(source):
        return pattern and f"pattern='{pattern}'"
    return f"the path '{os.path.join(folders.pop(), pattern)}'"


def _how(asked: Mapping[str, Any]) -> How:
    """Return how the files are opened."""
    options = {name: asked[name] for name in ("axes", "pages") if name in asked}
    return How(options=options, partial=bool(asked.get("allow_partial")))


def _refuse_grid(source: str, paths: Sequence[str]) -> None:
    """Refuse files of which the names say that they are more than planes along z."""
    folder = os.path.dirname(paths[0])
    if (found := proposed([os.path.relpath(path, folder or ".") for path in paths])) is None:
        return
    pattern, told = found
    what = f"the names of its {len(paths)} files vary in several places, and seem to mean {told}"
    if os.path.isdir(source):
        every = "*" + os.path.splitext(paths[0])[1]
        ways = [f"say what they mean, as by pattern='{pattern}'", f"take all along z by pattern='{every}'"]
    else:
        ways = [f"say what they mean, as in '{os.path.join(folder, pattern)}'"]
        if (split := _plain_pattern(source)) is not None:
            ways.append(f"take all along z by the folder {split[0]} with pattern='{split[1]}'")
    raise InputError(f"{source}: {what};", ways=ways)


def _plain_pattern(source: str) -> tuple[str, str] | None:
    """Return the folder of a glob and a pattern of the same files in it; None where it has what no pattern has.

    >>> _plain_pattern("own/*.tif"), _plain_pattern("*.tif"), _plain_pattern("a/b*/c?.tif"), _plain_pattern("[ab].tif")
    (('own', '*.tif'), ('.', '*.tif'), ('a', 'b*/c?.tif'), None)
    """
    if any(sign in source for sign in ("[", "**", "{", "}")):
        return None
    folder, pattern = os.path.split(source)
    while "*" in folder or "?" in folder:
        folder, part = os.path.split(folder)
        pattern = os.path.join(part, pattern)
    return folder or ".", pattern


def _open_study(study: Study, series: int | str | None, asked: Mapping[str, Any]) -> Reader:
    from bigimg.readers.dicom.reader import open_dicom_files

    paths = study.paths
    source = os.path.dirname(paths[0]) or "."
    return bounded(source, lambda: open_dicom_files(paths, series=series, others=study.others, **asked))


def _is_picture(path: str) -> bool:
    """Return whether a file is an image of another format than DICOM."""
    try:
        return find_format(path).name != "dicom"
    except UnknownFormatError:
        return False


def _study_among(paths: Sequence[str]) -> Study:
    """Return the DICOM files among ``paths``; they do not count where most of the files are other images."""
    found: list[str] = []
    others: list[str] = []
    sure = False
    for path in paths:
        head, name, _ = head_inside(path)
        sure |= is_dicom(head, name)
        (found if may_be_dicom(head, name) else others).append(path)
    if not sure:
        return Study([], 0)
    pictures = sum(map(_is_picture, others))
    return Study([] if pictures > len(found) else found, len(others))


def _one_format(paths: Sequence[str], source: str, *, partial: bool) -> str:
    """Return the format that all files have, but for damaged ones if ``partial``.

    A file of no known format is damaged if its name ends as those of the others do.
    """
    found: Counter[str] = Counter()
    unknown: dict[str, UnknownFormatError] = {}
    endings: set[str] = set()
    for path in paths:
        ending = os.path.splitext(path)[1]
        try:
            found[find_format(path).name] += 1
            endings.add(ending.lower())
        except UnknownFormatError as error:
            unknown[path] = error
    damaged = [path for path in unknown if os.path.splitext(path)[1].lower() in endings]
    if len(found) == 1 and damaged and len(damaged) == len(unknown):
        if not partial:
            raise lacking(unknown[damaged[0]], len(damaged), len(paths))
        return next(iter(found))
    found.update(f"unknown ({os.path.splitext(path)[1] or os.path.basename(path)})" for path in unknown)
    if len(found) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in found.most_common())
        endings_of = Counter(os.path.splitext(path)[1] for path in paths)
        ending, folder = endings_of.most_common(1)[0][0], os.path.dirname(paths[0])
        alike = proposed([os.path.relpath(path, folder or ".") for path in paths if path.endswith(ending)])
        pattern = os.path.join(folder, alike[0] if alike else f"*{ending}")
        what = f"holds files of several formats ({counts})"
        raise InputError(f"{source}: {what}; give a pattern that picks the planes, as in '{pattern}'")
    if unknown:
        raise next(iter(unknown.values()))
    return next(iter(found))
