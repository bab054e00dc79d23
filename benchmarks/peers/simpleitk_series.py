"""Read a DICOM series into memory with SimpleITK, as its documentation shows, and write nothing.

python simpleitk_series.py SOURCE
"""

import sys

import SimpleITK

reader = SimpleITK.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
image = reader.Execute()
assert image.GetSize()[2] == 1000
