"""Local files of images that lie elsewhere: URLs, members of zip files, bytes, file objects."""
