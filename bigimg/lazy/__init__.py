"""The lazy tree: opened images and what is made from them region by region, with dask only at its edge."""
