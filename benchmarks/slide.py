"""Convert the virtual slide of ``bigimg demo``: any size, no file to read, so that size alone changes.

python slide.py SIDE TARGET
"""

import sys

from bigimg.faces.convert import convert_to_store
from bigimg.readers.demo import SlideReader

side, target = sys.argv[1:]
convert_to_store(SlideReader(int(side), int(side)), target, memory="512MB")
