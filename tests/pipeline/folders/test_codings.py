"""The numbers of other programs' label files are known by their names, or by where they lie."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.core.errors import InputError
from pipeline.folders.codings import asked, meaning_of, of_dataset_json, recognised

# Towards the patient's left in an image with the identity as direction
LEFT, RIGHT = slice(6, 9), slice(1, 4)


def label(*parts: tuple[int, slice], flipped: bool = False) -> sitk.Image:
    """Numbers in boxes at places along x; `flipped` is the same with the axis in the other sense."""
    voxels = np.zeros((4, 4, 10), np.uint8)
    for row, (number, place) in enumerate(parts):
        voxels[row % 4, 1:3, place] = number
    image = sitk.GetImageFromArray(voxels)
    return sitk.DICOMOrient(image, "RPS") if flipped else image


def known(image: sitk.Image) -> str:
    return recognised("labels", [image]).name


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ([(1, LEFT), (2, RIGHT)], "this project's codes"),
        ([(1, RIGHT), (2, LEFT)], "lungmask's codes"),
        ([(1, RIGHT), (2, LEFT), (3, LEFT)], "lungmask's codes"),
        ([(1, LEFT), (2, LEFT), (3, RIGHT), (5, RIGHT)], "lungmask's lobes"),
        ([(10, LEFT), (14, RIGHT)], "TotalSegmentator's lobes"),
        ([(1, RIGHT), (10, LEFT), (14, RIGHT), (51, LEFT)], "TotalSegmentator's task total"),
        ([(3, LEFT)], "this project's codes"),
    ],
)
def test_numbers_are_known_by_where_they_lie(parts, name, flipped):
    assert known(label(*parts, flipped=flipped)) == name


def test_numbers_of_nothing_that_is_known_ask_for_codes():
    with pytest.raises(InputError, match=r'hold the numbers 7, which are no coding .* CODES="1:right_lung'):
        known(label((7, LEFT)))


def test_one_lung_alone_does_not_tell_its_side():
    with pytest.raises(InputError, match="nobody can tell which lung is which"):
        known(label((1, LEFT)))


def test_files_that_differ_are_refused():
    files = [label((1, LEFT), (2, RIGHT)), label((1, RIGHT), (2, LEFT))]
    with pytest.raises(InputError, match="several codings, lungmask's codes, this project's codes"):
        recognised("labels", files)


@pytest.mark.parametrize(
    ("text", "label_map"),
    [
        ("1:right_lung 2:left_lung 3:infection", "lungs_infection"),
        ("1:lungs, 2:infection", "lungs_and_infection"),
        ("7:infection", "infection"),
        ("1:right_lung 2:left_lung", "lungs"),
        ("0:background 5:lungs", "lungs"),
    ],
)
def test_what_codes_say_decides_what_is_scored(text, label_map):
    assert asked(text).label_map == label_map


@pytest.mark.parametrize("text", ["1", "1:lung", "one:lungs", "1:background"])
def test_codes_that_say_nothing_are_refused(text):
    with pytest.raises(InputError, match="CODES is"):
        asked(text)


def test_own_codes_come_of_any_numbers():
    codes = asked("9:right_lung 4:left_lung 2:infection").own_codes(np.array([0, 9, 4, 2, 77]))
    assert codes.tolist() == [0, 2, 1, 3, 0]


@pytest.mark.parametrize(
    "labels",
    [{"background": 0, "left lung": 1, "COVID infection": 2}, {"0": "background", "1": "left_lung", "2": "lesion"}],
)
def test_nnunet_names_its_numbers(tmp_path, labels):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    coding = of_dataset_json(tmp_path)
    assert coding.meanings == {0: "background", 1: "left_lung", 2: "infection"}


def test_names_that_nobody_knows_are_told(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    with pytest.raises(InputError, match="calls labels liver, which are not known here; say them by CODES"):
        of_dataset_json(tmp_path)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("lung_upper_lobe_left", "left_lung"),
        ("Right lung", "right_lung"),
        ("lungs", "lungs"),
        ("GGO", "infection"),
        ("heart", None),
    ],
)
def test_names_of_classes_tell_what_they_are(name, meaning):
    assert meaning_of(name) == meaning
