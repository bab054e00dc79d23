"""Images in HDF5 files."""
