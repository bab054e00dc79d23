"""Plain numbers in files: uncompressed, behind gzip, as text, in frames."""
