"""Convert a microscope's file to an OME-Zarr pyramid of means with openreadout, which reads back what it wrote.

python openreadout_export.py SOURCE TARGET
"""

import sys

import openreadout

source, target = sys.argv[1:]
report = openreadout.export(source, target, to="ome-zarr", pyramid="mean")
if not report["verified"]:
    raise SystemExit(f"{target}: not verified")
