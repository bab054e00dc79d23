"""The version, where the build reads it and a store can be told it without 24 ms of package metadata."""

__version__ = "0.1.0"
