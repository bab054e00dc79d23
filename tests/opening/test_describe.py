"""What is said of an image before a pixel of it is read."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

import bigimg


def test_fields_that_are_not_written_are_named_without_their_values(tmp_path: Path) -> None:
    made = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    made.header["descrip"], made.header["aux_file"] = b"Jane Doe", b"Doe.txt"
    made.to_filename(tmp_path / "a.nii")
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 5), np.uint8), extratags=[(315, 2, None, "Jane Doe", True)]
    )
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Jane Doe")
    Image.new("L", (4, 5)).save(tmp_path / "a.png", pnginfo=text)
    np.save(tmp_path / "a.npy", np.zeros((4, 5)))
    for name, fields in (
        ("a.nii", {"descrip", "aux_file"}),
        ("a.tif", {"Artist"}),
        ("a.png", {"text:Author"}),
    ):
        info = bigimg.info(tmp_path / name)
        assert fields <= set(info.private)
        for field in fields:
            assert field in str(info)
        assert "may tell who was imaged" in str(info)
        assert "Doe" not in str(info) + str(info.to_dict())
        (note,) = [
            note
            for note in bigimg.plan(tmp_path / name, tmp_path / "b.ome.zarr", probe=False).notes
            if "may tell who" in note
        ]
        assert note.startswith(f"{len(info.private)} field")
    assert "private" not in str(bigimg.info(tmp_path / "a.npy"))
