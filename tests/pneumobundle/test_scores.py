"""evaluate gives the rows of metrics.csv, whatever label maps come as."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import chest

import pneumobundle as pb
from evaluation.measures.cases import COLUMNS, Job, evaluate_case


@pytest.fixture
def files(tmp_path):
    """A reference, and a prediction of another chest on its grid."""
    paths = tmp_path / "reference.nii.gz", tmp_path / "prediction.nii.gz"
    label = chest()[1]
    other = sitk.BinaryDilate(label == 3, (1, 1, 1)) * 3
    sitk.WriteImage(label, str(paths[0]))
    sitk.WriteImage(sitk.Maximum(label, other), str(paths[1]))
    return paths


def same(mine, theirs) -> bool:
    return repr(mine) == repr(theirs)


def test_rows_are_those_of_metrics_csv(files):
    reference, prediction = files
    rows = pb.evaluate(prediction, reference, case="a")
    assert same(rows, evaluate_case(Job(reference, prediction, "a", "a", 0)))
    assert list(rows[0]) == list(COLUMNS)


@pytest.mark.parametrize("kind", ["SimpleITK", "nibabel", "array", "tensor"])
def test_rows_are_the_same_for_label_maps_in_memory(files, kind):
    reference, prediction = files
    images = [nibabel.load(file) for file in (prediction, reference)]
    arrays = [np.asanyarray(image.dataobj) for image in images]
    given, more = {
        "SimpleITK": ([sitk.ReadImage(str(file)) for file in (prediction, reference)], {}),
        "nibabel": (images, {}),
        "array": (arrays, {"affine": images[0].affine}),
        "tensor": ([torch.from_numpy(array.copy()) for array in arrays], {"spacing_mm": (1.2, 1.5, 3.0)}),
    }[kind]
    rows, expected = pb.evaluate(*given, **more), pb.evaluate(prediction, reference)
    numbers = [
        [value for value in row.values() if not isinstance(value, str)] for each in (rows, expected) for row in each
    ]
    # The spacing of a header is in single precision
    np.testing.assert_allclose(numbers[: len(rows)], numbers[len(rows) :], rtol=1e-5)


def test_label_maps_on_different_grids_are_refused(files):
    moved = sitk.ReadImage(str(files[1]))
    moved.SetOrigin((0, 0, 0))
    with pytest.raises(pb.InputError, match="lie on different grids: origin"):
        pb.evaluate(moved, files[0])


def test_a_value_that_is_no_class_is_refused():
    labels = np.zeros((4, 5, 6), np.uint8)
    wrong = labels.copy()
    wrong[0, 0, 0] = 9
    with pytest.raises(pb.InputError, match="case: the prediction holds the value 9"):
        pb.evaluate(wrong, labels, spacing_mm=(1, 1, 1))


def test_a_label_map_that_there_is_not_is_refused():
    labels = np.zeros((4, 5, 6), np.uint8)
    with pytest.raises(pb.InputError, match="label_map is 'lung', expected one of"):
        pb.evaluate(labels, labels, spacing_mm=(1, 1, 1), labels="lung")
