"""Label maps that their header or their name makes known, and what is only asked about."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import bigimg

IDS = np.zeros((6, 5, 4), np.int32)
IDS[1:3, 1:3, 1:3], IDS[4:, 3:, 2:] = 17, 1035


@pytest.mark.parametrize(
    "name",
    [
        "aseg.mgz", "aparc+aseg.mgz", "aparc.a2009s+aseg.mgz", "wmparc.mgz", "ribbon.mgz", "lh.ribbon.mgz",
        "aseg.nii.gz", "sub-01_desc-aparcaseg_dseg.nii.gz", "sub-01_dseg.nii", "aseg.auto.mgz",
    ],
)  # fmt: skip
def test_label_maps_are_known_by_their_names(tmp_path: Path, name: str) -> None:
    made = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
    nib.save(made(IDS, np.eye(4)), tmp_path / name)
    image = bigimg.open(tmp_path / name)
    assert image.attrs["kind"] == "labels"
    assert any("labels" in note for note in bigimg.info(tmp_path / name).notes)
    half = bigimg.downsample(image, 2).values
    assert set(np.unique(half)) <= {0, 17, 1035}


def test_a_segmentation_of_slicer_is_labels(tmp_path: Path) -> None:
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 5 6\nencoding: raw\nendian: little\n"
    for name, more in (("a.seg.nrrd", ""), ("b.nrrd", "Segment0_ID:=Liver\nSegment0_LabelValue:=17\n")):
        (tmp_path / name).write_bytes(f"{head}{more}\n".encode() + IDS.astype("<i2").tobytes())
        assert bigimg.open(tmp_path / name).attrs["kind"] == "labels"


@pytest.mark.parametrize(
    ("name", "dtype", "asks"),
    [("brain_atlas.nii", "i2", True), ("label.nii.gz", "u1", True), ("aseg.nii", "f4", False),
     ("phaseg.nii", "i2", False)],
)  # fmt: skip
def test_what_is_not_certain_stays_an_image(tmp_path: Path, name: str, dtype: str, asks: bool) -> None:
    nib.save(nib.Nifti1Image(IDS.astype(dtype), np.eye(4)), tmp_path / name)
    assert bigimg.open(tmp_path / name).attrs["kind"] == "image"
    assert any("--kind labels" in note for note in bigimg.info(tmp_path / name).notes) is asks


def test_a_scaled_map_stays_an_image(tmp_path: Path) -> None:
    image = nib.Nifti1Image(IDS.astype("i2"), np.eye(4))
    image.header.set_slope_inter(0.5, 0)
    nib.save(image, tmp_path / "aseg.nii")
    assert bigimg.open(tmp_path / "aseg.nii").attrs["kind"] == "image"
