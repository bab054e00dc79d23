"""What all regions of an image need, as a threshold: computed once, when the first of them is asked for."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from bigimg.lazy.dask_compute import item_of


class Value:
    """The only item of a dask array of no axes, computed once.

    Pickled before that, it is computed once in each process and in the thread that asks, for a worker that asks its
    cluster for it may wait for itself. Pickling computes nothing: a client of a cluster holds a lock meanwhile.

    Parameters
    ----------
    array : dask array
        Of no axes.
    here : bool
        Compute it in the thread that asks.
    found : tuple
        The value, where it is known.
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

    def tell(self, found: Any) -> None:
        """Take the value from who has computed it."""
        if not self._found:
            self._found = (found,)

    def __reduce__(self) -> Any:
        return partial(Value, here=True, found=self._found), (self.array,)
