"""Write docs/reference/formats-list.md from what ``bigimg.formats`` says of formats and extras.

uv run python docs/make_formats_list.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bigimg
from bigimg.version import DISTRIBUTION

TARGET = Path(__file__).parent / "reference" / "formats-list.md"
PAGE = """\
# Formats

Made by `docs/make_formats_list.py` from the tables of readers and exporters; `bigimg formats` prints the same of an \
install, and
which extras are there. A format is known by its content first, by its ending second.

## Read

Also a folder, a pattern or a list of planes of any of these, a URL, and a member of a zip file: \
[open from anywhere](../howto/open-from-anywhere.md).

{reads}

`random`: any region at its own price. `sequential`: one ordered pass; going back costs. `whole`: decoded at once.

### Bits and colours of pictures

- A sample keeps its bits and its sign. JPEG 2000 (1 to 24 bits), JPEG-LS, lossless JPEG, JPEG of 12 bits, AVIF of 10 \
and 12 bits
  and binary PNM are not scaled. A picture that no library here decodes exactly is refused: PSD and SGI of 16 bits, \
JPEG 2000 whose
  components have different bits, hierarchical JPEG.
- A JPEG 2000 in tiles is read by region, tile by tile. One without tiles is decoded at once.
- A palette becomes its colours, and one channel where it has only greys. With `--kind labels` or `--kind mask` the \
indices are kept.
- In a TIFF the codec says what the samples are. JPEG, JPEG XR, WebP, JPEG XL, PNG, and JPEG 2000 with a colour \
transform give RGB.
  Y Cb Cr of other codecs stays as stored, with channels of these names. Two kinds become RGB, with a note: Y Cb Cr \
with fewer colours
  than pixels, and JPEG 2000 of Aperio with compression 33003.
- Files of careless writers are read with a note: tiles of no bytes (their pixels are 0, or the declared no-data \
value), strips and tiles
  without lengths, PNG data that go on after the last row (this one is a warning, as it is known only at the end).

## Written

{writes}

## Extras

With pip: `pip install '{distribution}[dicom,hdf5]'`. In a checkout with uv: \
`uv sync --inexact --extra dicom --extra hdf5`
(`--inexact` keeps the extras that are there). `all` is all of them. An error that names an extra prints the line for \
your installation.

{extras}
"""


def page() -> str:
    """Return the page: the same whatever is installed beside bigimg."""
    found = bigimg.formats()
    reads = (
        (f.title, " ".join(f.extensions), f.library + (f", extra `{f.extra}`" if f.extra else ""), f.access)
        for f in found.reads
        if not f.outside
    )
    writes = ((w.title, " ".join(w.extensions), w.library, w.holds) for w in found.writes)
    extras = ((f"`{e.name}`", e.adds, ", ".join(e.packages)) for e in found.extras)
    return PAGE.format(
        distribution=DISTRIBUTION,
        reads=table(("format", "endings", "by", "access"), reads),
        writes=table(("format", "endings", "by", "holds"), writes),
        extras=table(("extra", "adds", "packages"), extras),
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
