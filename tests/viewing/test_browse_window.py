"""The browser of slices in a real window: Qt on a screen, keys and mouse as Qt sends them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.viewing.drawn import store_of

pytestmark = pytest.mark.viewer
SCRIPT = """\
import sys, threading
import matplotlib
matplotlib.use("qtagg")
import matplotlib.pyplot as plt
from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtTest import QTest
import bigimg
figure = bigimg.browse(sys.argv[1], "z", level=0)
plt.show(block=False)
plt.pause(0.5)
axes, canvas = figure.axes[0], figure.canvas
def press(key):
    QTest.keyClick(canvas, key)
    plt.pause(0.1)
    print(axes.get_title(), axes.get_xscale())
press(Qt.Key.Key_K)
press(Qt.Key.Key_Home)
press(Qt.Key.Key_L)
QTest.mouseMove(canvas, QPoint(*(n // 2 for n in canvas.get_width_height())))
plt.pause(0.2)
print("value" in canvas.manager.toolbar.locLabel.text())
shot = canvas.manager.window.grab().toImage()
print(len({shot.pixel(x, 300) for x in range(0, shot.width(), 3)}) > 20)
plt.close(figure)
plt.pause(0.1)
print([thread.name for thread in threading.enumerate()])
"""


def test_keys_and_mouse_in_qt(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    path = store_of(pixels, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "z 11 of 0-19 linear",
        "z 0 of 0-19 linear",
        "z 0 of 0-19 linear",
        "True",
        "True",
        "['MainThread']",
    ]
