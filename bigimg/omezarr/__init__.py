"""The store side: OME-Zarr metadata, shards, opening and the manifest."""
