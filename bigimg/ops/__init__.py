"""Functions on labelled arrays: DataArray in, lazy DataArray out."""
