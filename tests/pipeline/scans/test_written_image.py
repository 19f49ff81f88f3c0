"""Images are whole or not there, which SimpleITK does not see to."""

from __future__ import annotations

import errno
import os
import resource

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.scans.written_image import write_image


@pytest.fixture
def noise():
    """An image that cannot be compressed to under 100,000 bytes."""
    return sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (40, 64, 64)).astype(np.uint8))


@pytest.fixture
def small_files():
    """No file may grow beyond 100,000 bytes, as where a quota ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_image_is_read_back_as_it_was_written(tmp_path, noise):
    write_image(noise, tmp_path / "a.nii.gz")
    assert np.array_equal(*map(sitk.GetArrayFromImage, (noise, sitk.ReadImage(str(tmp_path / "a.nii.gz")))))


def test_an_image_that_does_not_fit_says_why(tmp_path, noise, small_files):
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_image(noise, tmp_path / "a.nii.gz")


def test_an_image_that_does_not_fit_leaves_the_old_file(tmp_path, noise, small_files):
    (tmp_path / "a.nii.gz").write_text("old")
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_image(noise, tmp_path / "a.nii.gz")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.nii.gz", "old")]
