"""Convert, kill, resume, overwrite, damage, verify, open, clean, in any order: always what a dict says.

The model is one target and the staging folder beside it: which image the store holds, which files of it are damaged,
and how far which unfinished run came.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import bigimg
from bigimg.conversion import commit
from bigimg.conversion.leftovers import clean
from bigimg.conversion.target import check_replaceable
from bigimg.errors import BigimgError, OutputError, ResumeError, TargetExistsError
from bigimg.faces.convert import convert_to_store
from tests.conversion.faults import drop_chunk, flip, lose, truncate
from tests.conversion.sources import noise
from tests.conversion.test_run import tree

SOURCES = ("a", "b")
PLACED = ("renamed", "committed", "cleared")
MEMORY_DISK = Path("/dev/shm")
"""Where there is none every conversion waits for the disk of the whole machine."""
HARMS = (flip, lose, truncate, drop_chunk)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleared away (``discard`` is taken from the run that it ends)."""


class Stores(RuleBasedStateMachine):
    """Each rule does one thing to the real folder and the same to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(
            tempfile.mkdtemp(prefix="bigimg-states-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        )
        self.target = self.folder / "work" / "x.ome.zarr"
        self.target.parent.mkdir()
        self.images = {"a": noise((70, 90), "u2"), "b": noise((40, 100), "u2", seed=1)}
        self.whole: dict[str, dict[str, str]] = {}
        self.store: str | None = None
        self.harmed: dict[str, bytes] = {}
        """Files of the store that were damaged, and what they were."""
        self.staged: str | None = None
        """Whose unfinished run lies beside the target."""
        self.blocks = 0
        """How many blocks of it were finished."""
        self.placed = False
        """Whether that run had put its store in place before it was killed."""
        self.alike = False
        """Whether it replaced a store of the same image, whose blocks then lie in the staging folder and match."""
        self.intact = False
        """Whether that store was undamaged."""
        self.every_block: Counter[str] = Counter()
        """How many blocks each image has."""

    @initialize()
    def sources(self) -> None:
        for name, image in self.images.items():
            np.save(self.folder / f"{name}.npy", image)
            target = self.folder / name / self.target.name
            target.parent.mkdir()
            commit.hook = lambda at, name=name: self.every_block.update([name] * (at == "block"))
            convert_to_store(
                self.folder / f"{name}.npy", target, chunks=16, shards=32, workers=1, progress=False
            )
            commit.hook = commit._no_hook
            self.whole[name] = tree(target)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------------------ runs

    def convert(self, name: str, *, overwrite: bool, resume: bool = True) -> int:
        done = convert_to_store(
            self.folder / f"{name}.npy", self.target, chunks=16, shards=32, workers=1, progress=False,
            overwrite=overwrite, resume=resume,
        )  # fmt: skip
        return done.blocks_resumed

    @rule(name=st.sampled_from(SOURCES), overwrite=st.booleans(), resume=st.booleans())
    def run(self, name: str, overwrite: bool, resume: bool) -> None:
        refused = self.refused(name, overwrite, resume)
        if refused is not None:
            with pytest.raises(refused):
                self.convert(name, overwrite=overwrite, resume=resume)
            return
        kept = self.convert(name, overwrite=overwrite, resume=resume)
        if resume and self.staged == name and self.placed and self.alike:
            # The replaced store lies where the run goes on from: of one that was whole every block is kept.
            every = self.every_block[name]
            assert kept == every if self.intact else kept <= every, (kept, every)
        else:
            assert kept == (self.blocks if resume and self.staged == name and not self.placed else 0)
        self.store, self.harmed, self.staged, self.blocks, self.placed = name, {}, None, 0, False

    def refused(self, name: str, overwrite: bool, resume: bool) -> type[BigimgError] | None:
        """Return the error that a run has to end with before it does anything."""
        if self.store is not None and not overwrite:
            return TargetExistsError
        if self.store is not None and not self.replaceable():
            return OutputError
        if self.staged not in (None, name) and resume:
            return ResumeError
        return None

    def replaceable(self) -> bool:
        """Return whether what is damaged still looks like a store: its root says that it is one."""
        try:
            check_replaceable(self.target)
        except OutputError:
            assert self.harmed, "a whole store may be replaced"
            return False
        return True

    @rule(
        name=st.sampled_from(SOURCES),
        overwrite=st.booleans(),
        step=st.sampled_from(("owned", "begun", "block", "swept", "written", "synced", *PLACED)),
        count=st.integers(1, 6),
    )
    def kill(self, name: str, overwrite: bool, step: str, count: int) -> None:
        """Run and die at a step, as if the machine did: what is on the disk stays as it is."""
        if self.refused(name, overwrite, True) is not None:
            return
        before = self.blocks if self.staged == name and not self.placed else 0
        intact = not self.really_harmed()
        seen: Counter[str] = Counter()
        dead = False

        def hook(at: str) -> None:
            nonlocal dead
            seen[at] += 1
            if at == step and seen[at] >= (count if step == "block" else 1) and not dead:
                dead = True
                raise Killed

        discard = commit.discard
        commit.hook = hook
        commit.discard = lambda folder: None if dead else discard(folder)
        try:
            self.convert(name, overwrite=overwrite)
        except Killed:
            pass
        finally:
            commit.hook, commit.discard = commit._no_hook, discard
        if not dead:  # it had fewer blocks left than that
            self.store, self.harmed, self.staged, self.blocks, self.placed = name, {}, None, 0, False
            return
        if step in PLACED:
            self.alike, self.intact = self.store == name, intact
            self.store, self.harmed, self.placed = name, {}, True
            self.staged = name if commit.read_owner(commit.staging_folder(self.target)) else None
            self.blocks = 0
        else:
            self.staged, self.placed = name, False
            self.blocks = before + seen["block"] if step not in ("owned", "begun") else before

    # ---------------------------------------------------------------------------------------------------- damage

    @precondition(lambda self: self.store is not None)
    @rule(harm=st.sampled_from(HARMS), seed=st.integers(0, 2**32 - 1))
    def damage(self, harm: object, seed: int) -> None:
        before = {path: path.read_bytes() for path in self.target.rglob("*") if path.is_file()}
        try:
            concerned = harm(self.target, np.random.default_rng(seed))  # type: ignore[operator]
        except (AssertionError, ValueError):  # nothing left that could be damaged in this way
            return
        for path in concerned or ():
            self.harmed.setdefault(str(path.relative_to(self.target)), before[path])

    @rule()
    def mend(self) -> None:
        for name, data in self.harmed.items():
            (self.target / name).write_bytes(data)
        self.harmed = {}

    # --------------------------------------------------------------------------------------------------- looking

    @rule()
    def verify(self) -> None:
        if self.store is None:
            return
        report = bigimg.verify(self.target)
        assert report.ok == (not self.really_harmed()), report

    def really_harmed(self) -> list[str]:
        """Return the files that are not what they were: two flips of one bit are none."""
        return [
            name for name, data in self.harmed.items()
            if not (self.target / name).exists() or (self.target / name).read_bytes() != data
        ]  # fmt: skip

    @rule()
    def open(self) -> None:
        if self.store is None:
            with pytest.raises(BigimgError):
                bigimg.open(self.target)
            return
        try:
            pixels = bigimg.open(self.target).to_numpy()
        except BigimgError:
            assert self.really_harmed()
        else:
            np.testing.assert_array_equal(pixels, self.images[self.store])

    @rule(remove=st.booleans())
    def clean(self, remove: bool) -> None:
        found = clean(self.target.parent, remove=remove).found
        assert len(found) == (self.staged is not None)
        if remove:
            self.staged, self.blocks, self.placed = None, 0, False

    @invariant()
    def only_what_the_model_says(self) -> None:
        """Under the final name the store of the model, byte for byte but for the damage; beside it our own folder."""
        if not self.whole:
            return
        names = set(os.listdir(self.target.parent))
        assert names <= {self.target.name, commit.staging_folder(self.target).name}
        assert (self.target.name in names) == (self.store is not None)
        if self.store is not None and not self.harmed:
            assert tree(self.target) == self.whole[self.store]


def test_any_order_of_things() -> None:
    run_state_machine_as_test(Stores, settings=settings(max_examples=12, stateful_step_count=12))


@pytest.mark.faults
def test_any_order_of_many_things() -> None:
    run_state_machine_as_test(Stores, settings=settings(max_examples=400, stateful_step_count=30))


def test_a_store_that_replaced_its_equal_is_gone_on_with() -> None:
    """The rare order of things in which all blocks are kept, whatever hypothesis draws."""
    state = Stores()
    try:
        state.sources()
        state.run("a", overwrite=False, resume=True)
        state.kill("a", overwrite=True, step="renamed", count=1)
        assert state.every_block["a"] > 1
        assert (state.staged, state.placed, state.alike, state.intact) == ("a", True, True, True)
        state.run("a", overwrite=True, resume=True)
    finally:
        state.teardown()
