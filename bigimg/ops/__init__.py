"""Functions from DataArrays to lazy DataArrays."""
