"""A value that each region of an image needs, as a threshold: computed once, for the first region that is read."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from bigimg.lazy.dask_compute import item_of


class Value:
    """The only item of a dask array of no axes, computed once.

    If it is pickled before that, each process computes it once, in the thread that needs it: a worker that asked its
    cluster for the value could wait for itself. Pickling computes nothing, because a client of a cluster pickles while
    it holds a lock.

    Parameters
    ----------
    array : dask array
        Has no axes.
    here : bool
        Compute it in the thread that calls :meth:`get`.
    found : tuple
        The value, if it is known.
    """

    def __init__(self, array: Any, *, here: bool = False, found: tuple[Any, ...] = ()) -> None:
        self.array = array
        self.token = str(array.name)
        self._here = here
        self._found = found
        self._lock = threading.Lock()

    def get(self) -> Any:
        """Return the value."""
        with self._lock:
            if not self._found:
                self._found = (item_of(self.array, here=self._here),)
            return self._found[0]

    def set(self, found: Any) -> None:
        """Take a value that was computed elsewhere."""
        if not self._found:
            self._found = (found,)

    def __reduce__(self) -> Any:
        return partial(Value, here=True, found=self._found), (self.array,)
