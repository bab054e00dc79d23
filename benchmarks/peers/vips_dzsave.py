"""Write a deep-zoom pyramid of JPEG tiles with libvips: the fastest pyramid maker, lossy, all defaults.

python vips_dzsave.py SOURCE TARGET
"""

import sys

import pyvips

source, target = sys.argv[1:]
pyvips.Image.new_from_file(source, access="sequential").dzsave(target)
