"""Read a DICOM series into memory with SimpleITK, as its documentation shows, and write nothing.

python simpleitk_series.py SOURCE
"""

import sys

import SimpleITK

reader = SimpleITK.ImageSeriesReader()
files = reader.GetGDCMSeriesFileNames(sys.argv[1])
reader.SetFileNames(files)
image = reader.Execute()
assert image.GetSize()[2] == len(files) > 1
