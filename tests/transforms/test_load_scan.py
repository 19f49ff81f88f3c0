"""A scan is the same from its file and from the memory of another program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, LoadImaged

from pipeline.core.errors import InputError
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import SCANNER_AFFINE, SCANNER_SHAPE, affine_of, geometry_of
from pipeline.scans.scan import read_geometry, read_scan
from transforms.load_scan import LoadScanImaged
from transforms.loaded_scan import case_of, scan_of, scanner
from transforms.prepare_scan import PrepareScand

FRONT = Front(spacing_mm=(1.9, 1.6, 2.4))
DIRECTIONS = [
    (1, 0, 0, 0, 1, 0, 0, 0, 1),
    (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    (0, 1, 0, -1, 0, 0, 0, 0, 1),
    (0, 0, -1, 1, 0, 0, 0, 1, 0),
    (0.8, 0, 0.6, 0, 1, 0, -0.6, 0, 0.8),
]


@pytest.fixture(params=DIRECTIONS, ids=str)
def file(request, tmp_path: Path, make_chest) -> str:
    scan, _ = make_chest(size=(30, 26, 20), direction=request.param)
    scan.SetOrigin((-31.5, 12.25, -400.0))
    sitk.WriteImage(scan, str(tmp_path / "chest.nii.gz"))
    return str(tmp_path / "chest.nii.gz")


def test_it_lies_where_monai_s_own_reader_says(file):
    loaded, theirs = LoadScanImaged("image")({"image": file})["image"], LoadImage()(file)
    assert np.allclose(loaded.affine.numpy(), theirs.affine.numpy(), atol=1e-4)
    assert np.array_equal(loaded.numpy(), theirs.numpy())


def test_an_affine_gives_the_grid_back(file):
    grid = read_geometry(file)
    assert not geometry_of(affine_of(grid), grid.size, "a").differences(grid, 1e-9)


def test_it_is_prepared_alike_from_a_file_and_from_memory(file):
    prepare = PrepareScand("image", FRONT)
    from_file = prepare(LoadScanImaged("image")({"image": file}))
    for voxels in (LoadImage()(file), LoadImage(ensure_channel_first=True)(file)):
        in_memory = prepare(LoadScanImaged("image")({"image": voxels, "case": "a"}))
        assert torch.allclose(in_memory["image"].as_tensor(), from_file["image"].as_tensor(), atol=1e-4)
        assert not scanner(in_memory).differences(read_geometry(file))


def test_a_prepared_scan_knows_both_grids(file):
    image = PrepareScand("image", FRONT)(LoadScanImaged("image")({"image": file}))["image"]
    grid = read_geometry(file)
    assert np.allclose(image.affine.numpy(), affine_of(FRONT.grid(grid)))
    assert np.allclose(image.meta[SCANNER_AFFINE], affine_of(grid))
    assert tuple(image.meta[SCANNER_SHAPE]) == grid.size


def test_an_image_for_simpleitk_is_the_file_s(file):
    scan, expected = scan_of(LoadScanImaged("image")({"image": file})), read_scan(file)
    assert Geometry.of(scan) == Geometry.of(expected)
    assert np.array_equal(sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(expected))


def test_a_case_is_named_after_its_file_unless_it_has_a_name(file):
    assert case_of(LoadScanImaged("image")({"image": file})) == "chest"
    assert case_of(LoadScanImaged("image")({"image": file, "case": "other"})) == "other"


@pytest.mark.parametrize(
    ("voxels", "told"),
    [
        (torch.zeros(4, 4, 4), "of type Tensor; expected the path of a scan, or a MetaTensor"),
        (MetaTensor(torch.zeros(2, 4, 4, 4)), r"has shape \(2, 4, 4, 4\); expected one volume"),
        (MetaTensor(torch.zeros(4, 4, 4), affine=torch.zeros(4, 4)), "spacing"),
    ],
)
def test_what_is_no_scan_in_memory_is_named(voxels, told):
    with pytest.raises(InputError, match=f"^some case: .*{told}"):
        PrepareScand("image", FRONT)({"image": voxels, "case": "some case"})


def test_it_has_the_loader_that_a_server_sets_up():
    reader = LoadScanImaged("image")
    reader._loader.image_only = False
    assert isinstance(reader, LoadImaged)
