"""One lazy tree: what is opened, and what is made of it region by region; dask stands at its edge."""
