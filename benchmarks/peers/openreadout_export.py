"""Convert a microscope's file to an OME-Zarr pyramid of means with openreadout, which reads back what it wrote.

    python openreadout_export.py SOURCE TARGET [--plain LEVELS]

By default as it comes: gzip, levels of its choice. ``--plain``: uncompressed, with so many levels, which is what it and
bigimg can both do (it knows no codec but gzip). Chunks are 512 x 512 in a plane either way.
"""

import argparse

import openreadout

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("target")
parser.add_argument("--plain", type=int, metavar="LEVELS")
asked = parser.parse_args()
options = {"compression": "none", "levels": asked.plain} if asked.plain else {}
report = openreadout.export(asked.source, asked.target, to="ome-zarr", pyramid="mean", **options)
if not report["verified"]:
    raise SystemExit(f"{asked.target}: not verified")
