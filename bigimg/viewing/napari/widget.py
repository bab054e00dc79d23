"""The napari widget that converts a file to OME-Zarr: plan, convert, cancel, and show the result.

It is made with magicgui, so it works with every Qt binding. The conversion runs in a thread, and a worker of napari
passes its progress to the thread of the window.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    LineEdit,
    ProgressBar,
    PushButton,
    TextEdit,
)

from bigimg.errors import BigimgError
from bigimg.version import DISTRIBUTION
from bigimg.viewing.napari.background_conversion import Job

if TYPE_CHECKING:
    from bigimg.conversion.progress import Progress

AS_FILE = "as the file says"


class ConvertWidget(Container):  # type: ignore[misc]
    """Source, target and the usual options; all other options have the defaults of ``bigimg.convert``."""

    def __init__(self) -> None:
        self.source = FileEdit(label="image", mode="r")
        self.folder = CheckBox(label="is a folder (DICOM, planes)")
        self.target = FileEdit(label="store", mode="w", filter="*.ome.zarr")
        self.memory = LineEdit(label="memory", tooltip="As in 2GB; half of what is free when empty.")
        self.kind = ComboBox(label="kind", choices=[AS_FILE, "image", "labels", "mask"])
        self.version = ComboBox(label="OME-Zarr", choices=["0.4", "0.5", "0.6"], value="0.5")
        self.overwrite = CheckBox(label="replace a store that is there")
        self.show = CheckBox(label="show it when it is done", value=True)
        self.plan_button = PushButton(text="Plan")
        self.convert_button = PushButton(text="Convert")
        self.cancel_button = PushButton(text="Cancel", enabled=False)
        self.bar = ProgressBar(max=1000)
        self.message = TextEdit(
            value="Choose an image. Plan says what converting it takes; nothing is written."
        )
        self.message.read_only = True
        row = [self.plan_button, self.convert_button, self.cancel_button]
        buttons = Container(layout="horizontal", labels=False, widgets=row)
        options = [self.memory, self.kind, self.version, self.overwrite, self.show]
        super().__init__(
            widgets=[self.source, self.folder, self.target, *options, buttons, self.bar, self.message]
        )
        self.job: Job | None = None
        self.source.changed.connect(self._propose_target)
        self.folder.changed.connect(lambda folder: setattr(self.source, "mode", "d" if folder else "r"))
        self.plan_button.changed.connect(self.plan)
        self.convert_button.changed.connect(self.convert)
        self.cancel_button.changed.connect(self.cancel)

    @property
    def settings(self) -> dict[str, Any]:
        """The options as ``bigimg.convert`` takes them."""
        kind = None if self.kind.value == AS_FILE else self.kind.value
        return {"memory": self.memory.value.strip() or None, "kind": kind, "ome_version": self.version.value}

    def plan(self) -> None:
        """Show the plan of the conversion."""
        from bigimg.faces.convert import plan

        try:
            self._say(str(plan(str(self.source.value), str(self.target.value), **self.settings)))
        except BigimgError as error:
            self._say(str(error))

    def convert(self) -> Any:
        """Start the conversion, and return the worker of napari that runs it."""
        from napari.qt.threading import create_worker

        job = Job(
            str(self.source.value), str(self.target.value), overwrite=self.overwrite.value, **self.settings
        )
        self.job = job
        self._busy(True)
        self.bar.value = 0
        self._say(f"converting {job.source} …")
        return create_worker(
            job.watch, _start_thread=True, _connect={"yielded": self._show_progress, "finished": self._finish}
        )

    def cancel(self) -> None:
        """Stop the conversion; the finished blocks stay, and converting again goes on from them."""
        if self.job is not None:
            self.job.cancel()
            self._say("stopping …")

    def _show_progress(self, progress: Progress) -> None:
        self.bar.value = int(1000 * progress.done / max(1, progress.total))
        share = progress.done / max(1, progress.total)
        self._say(
            f"{progress.stage}: {share:.0%}, {progress.rate / 1e6:.0f} MB/s, {progress.left:.0f} s left"
        )

    def _finish(self) -> None:
        self._busy(False)
        if self.job is None:
            return
        self._say(self.job.outcome)
        if self.job.result is not None:
            self.bar.value = 1000
            import napari

            if self.show.value and (viewer := napari.current_viewer()) is not None:
                viewer.open(self.job.target, plugin=DISTRIBUTION)

    def _busy(self, busy: bool) -> None:
        self.convert_button.enabled = self.plan_button.enabled = not busy
        self.cancel_button.enabled = busy

    def _say(self, text: str) -> None:
        self.message.value = text

    def _propose_target(self, path: Any) -> None:
        """Propose a store in the folder of the image."""
        source = Path(path)
        if source.name and not str(self.target.value).endswith(".zarr"):
            self.target.value = source.with_name(f"{source.name.split('.')[0]}.ome.zarr")
