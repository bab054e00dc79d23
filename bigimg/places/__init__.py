"""From wherever an image lies to a file on this machine: URLs, members of zip files, bytes, file objects."""
