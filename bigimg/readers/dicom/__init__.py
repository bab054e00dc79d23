"""DICOM: one file, or the files of a series as one stack."""
