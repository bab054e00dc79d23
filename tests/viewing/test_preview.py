"""What a notebook shows of an image: parsed as HTML, its picture decoded, what was read counted."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

import bigimg
from bigimg.geometry.spec import Channel
from bigimg.types import Array
from tests.viewing.drawn import numbers, reads, store_of


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.said = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in ("img", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data + "|"


def picture(page: str) -> Array:
    data = re.search(r"data:image/png;base64,([^']+)", page)
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))


def test_the_smallest_level_alone_is_read(tmp_path: Path) -> None:
    pixels = np.kron(numbers(4, 4, 3), np.ones((256, 256, 1), np.uint8))
    path = store_of(pixels, tmp_path, dims="yxc", spacing=0.5, unit="um", chunks={"y": 128, "x": 128, "c": 1})
    for source in (bigimg.open(path), bigimg.open_pyramid(path)):
        with reads() as seen:
            shown = source.bigimg.preview()
        assert {level for level, _ in seen} == {3}
        assert sum(np.prod([s.stop - s.start for s in region]) for _, region in seen) == 128 * 128 * 3
        np.testing.assert_array_equal(picture(shown._repr_html_()), pixels[::8, ::8])
        page = Page(shown._repr_html_())
        for words in (
            "c 3, y 1024, x 1024, uint8, 3.15 MB",
            "y 0.5 µm, x 0.5 µm",
            "512 µm",
            "R|",
            "levels|4",
        ):
            assert words in page.said
        assert page.tags.count("polyline") == 3
        assert "c 3, y 1024" in repr(shown)


def test_text_is_escaped() -> None:
    img = bigimg.from_array(
        numbers(2, 20, 30), dims="cyx", channels=[Channel("<script>x</script>"), Channel("a&b")]
    )
    img.attrs["source"] = "<img src=x onerror=alert(1)>"
    page = img.bigimg.preview()._repr_html_()
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert Page(page).tags.count("img") == 1
    assert "<script>x</script>" in Page(page).said


def test_a_large_image_without_levels_is_not_read() -> None:
    import dask.array as da

    img = bigimg.from_array(da.zeros((20_000, 20_000), chunks=2000, dtype=np.uint8))
    page = img.bigimg.preview()._repr_html_()
    assert "bigimg convert" in page
    assert "<img" not in page
    Page(page)


def test_volumes_masks_labels_and_floats(tmp_path: Path) -> None:
    values = numbers(6, 20, 30).astype(np.float32)
    values[0] = np.nan
    for array in (values, values > 100, np.full((3, 4), np.nan)):
        Page(bigimg.from_array(array).bigimg.preview()._repr_html_())
    mask = bigimg.from_array(numbers(20, 30) > 100)
    np.testing.assert_array_equal(picture(mask.bigimg.preview()._repr_html_()) > 0, mask.values)
    labels = bigimg.from_array(numbers(20, 30))
    labels.attrs["kind"] = "labels"
    page = labels.bigimg.preview()._repr_html_()
    assert picture(page).shape == (20, 30, 3)
    assert "svg" not in Page(page).tags
