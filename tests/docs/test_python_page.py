"""What the page on Python says runs as it stands, block by block, and its pictures are those that its code makes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import exported_once
import pytest
import SimpleITK as sitk
from exported import small_run
from PIL import Image

from pipeline.core.project import ROOT
from pipeline.phantom.dataset import write_phantom

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def after_all_blocks(tmp_path_factory):
    """Every name that the page's code has made, run from the folder that it speaks of, on a synthetic chest."""
    place = tmp_path_factory.mktemp("page")
    write_phantom(place / "phantom", patients=1, coarsening=4.0)
    small_run("unet_3d", place / "runs" / "unet_3d" / "cv", exported_once.OVERRIDES)
    scan, reference = (place / "phantom" / kind / "phantom_01.nii.gz" for kind in ("images", "labels"))
    shutil.copy(scan, place / "scan.nii.gz")
    shutil.copy(reference, place / "reference.nii.gz")
    (place / "scans").mkdir()
    shutil.copy(scan, place / "scans" / "a.nii.gz")
    (place / "scans" / "b.nii.gz").write_bytes(b"damaged")
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for block in BLOCKS:
            exec(compile(block, "docs/python.md", "exec"), names)
    return {**names, "place": place}


def test_the_label_lies_on_the_scan(after_all_blocks):
    scan = sitk.ReadImage(str(after_all_blocks["place"] / "scan.nii.gz"))
    assert after_all_blocks["label"].shape == scan.GetSize()


def test_the_damaged_scan_is_told_and_the_other_one_is_segmented(after_all_blocks):
    assert [name for name, _ in after_all_blocks["failed"]] == ["b"]
    assert list(after_all_blocks["shares"]) == ["a"]


def test_the_array_without_a_grid_is_told_in_a_sentence(after_all_blocks):
    assert after_all_blocks["told"].startswith("scan: is an array with neither spacing_mm nor affine")


def test_what_was_saved_is_there(after_all_blocks):
    saved = [(after_all_blocks["place"] / path).name for path in after_all_blocks["paths"]]
    assert saved == ["a.json", "a.nii.gz", "a.html"]
    assert all((after_all_blocks["place"] / path).is_file() for path in after_all_blocks["paths"])


def test_every_structure_is_scored(after_all_blocks):
    assert list(after_all_blocks["dice"]) == ["left_lung", "right_lung", "lungs", "infection"]


def test_pictures_are_of_the_size_that_the_code_makes(after_all_blocks):
    files = re.findall(r"\((pictures/python_\w+\.webp)\)", PAGE)
    pictures = [after_all_blocks[name] for name in ("found", "likely")]
    pictures += [Image.open(Path(ROOT / "docs" / file)) for file in files]
    assert [max(picture.size) for picture in pictures] == [320] * 4
