"""Slices are prepared as the paper does it, and lie in an ordinary data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from slice_set_makers import slices, write, write_cases, write_png_slices

from pipeline.core.errors import InputError
from pipeline.data.datalist import read_datalist
from pipeline.data.slice_sets import THREE, find_set
from pipeline.experiments.prepared_slices import (
    Piece,
    check_lungs,
    check_preparation,
    code_counts,
    cropped,
    own_range,
    prepared,
    resized,
    write_dataset,
)
from pipeline.scans.intensity import GREY_255, HOUNSFIELD
from pipeline.scans.scan import read_scan

LUNG = np.array([[[True, True, False]]])


def pieces_of(data, chosen=(0, 2)):
    return [Piece(f"{stack.name}_F1", stack, tuple(chosen), "F1") for stack in find_set(THREE, data).stacks]


def test_in_hounsfield_units_the_papers_background_is_the_brightest():
    hounsfield = np.array([[[-1000.0, -250.0, 40.0]]])
    assert prepared(hounsfield, LUNG, "paper", HOUNSFIELD).tolist() == [[[0, 191, 255]]]


def test_in_grey_the_papers_background_is_the_darkest():
    grey = np.array([[[200, 100, 250]]], np.uint8)
    assert prepared(grey, LUNG, "paper", GREY_255).tolist() == [[[255, 128, 0]]]


def test_each_slice_has_its_own_range():
    hounsfield = np.array([[[-1000.0, 0.0]], [[-10.0, 0.0]]])
    both = prepared(hounsfield, np.ones(hounsfield.shape, bool), "paper", HOUNSFIELD)
    assert np.array_equal(both[0], both[1])


def test_a_constant_slice_is_0():
    assert own_range(np.full((2, 2), -3.0)).tolist() == [[0, 0], [0, 0]]


def test_the_window_masks_nothing():
    hounsfield = np.array([[[-2000.0, -500.0, 900.0]]])
    assert prepared(hounsfield, LUNG, "window", HOUNSFIELD).tolist() == [[[0, 128, 255]]]


def test_the_window_leaves_grey_as_it_is():
    grey = np.array([[[0, 7, 255]]], np.uint8)
    assert np.array_equal(prepared(grey, LUNG, "window", GREY_255), grey)


def test_an_unknown_preparation_is_an_error():
    with pytest.raises(InputError, match="PREPARATION is 'raw', expected one of: paper, window"):
        check_preparation("raw")


def test_large_slices_are_cropped_about_their_centre_and_stay_where_they_are():
    image = sitk.Image([630, 400, 2], sitk.sitkUInt8)
    image.SetSpacing([0.5, 0.5, 1.0])
    small = cropped(image)
    assert small.GetSize() == (512, 400, 2)
    assert small.GetOrigin() == (59 * 0.5, 0, 0)


def test_pixels_of_each_code_are_counted_slice_by_slice(tmp_path):
    (stack,) = find_set(THREE, write_cases(tmp_path, cases=1)).stacks
    assert code_counts(stack).tolist() == [[220, 84, 76, 20, 0, 0]] * 4


def test_a_prepared_data_set_passes_the_projects_own_check(tmp_path):
    write_dataset(tmp_path / "data", pieces_of(write_cases(tmp_path / "set3")), "paper")
    entries = read_datalist(tmp_path / "data")["training"]
    assert {(entry["case"], entry["patient_id"], entry["intensity"]) for entry in entries} == {
        (f"case_{number}_F1", f"case_{number}", "grey255") for number in range(5)
    }


def test_what_labels_annotate_and_what_their_codes_mean_is_kept(tmp_path):
    source = tmp_path / "set3"
    lung = slices(4)[2] > 0
    write(source / "images" / "case_0.nii.gz", slices(4)[0].astype(np.int16), (0.8, 0.8, 5.0))
    write(source / "labels" / "case_0.nii.gz", lung.astype(np.uint8), (0.8, 0.8, 5.0))
    write_dataset(tmp_path / "data", pieces_of(source), "window")
    told = {"annotates": ["infection"], "codes": {"0": "background", "1": "infection"}}
    (source / "manifest.json").write_text(json.dumps(told))
    write_dataset(tmp_path / "data", pieces_of(source), "window")
    (entry,) = read_datalist(tmp_path / "data")["training"]
    assert entry["annotates"] == ["infection"]
    label = sitk.GetArrayFromImage(read_scan(tmp_path / "data" / "labels" / "case_0_F1.nii.gz"))
    assert np.array_equal(label == 3, lung[[0, 2]])
    assert set(np.unique(label)) == {0, 3}


def test_only_the_chosen_slices_are_written(tmp_path):
    source = write_cases(tmp_path / "set3", cases=1)
    write_dataset(tmp_path / "data", pieces_of(source, (1, 3)), "window")
    labels = (
        read_scan(folder / "labels" / name)
        for folder, name in ((source, "case_0.nii.gz"), (tmp_path / "data", "case_0_F1.nii.gz"))
    )
    whole, chosen = (sitk.GetArrayFromImage(label) for label in labels)
    assert np.array_equal(chosen, whole[[1, 3]])


def test_the_first_slice_stays_where_it_was(tmp_path):
    write_dataset(tmp_path / "data", pieces_of(write_cases(tmp_path / "set3", cases=1), (2, 3)), "paper")
    assert read_scan(tmp_path / "data" / "images" / "case_0_F1.nii.gz").GetOrigin() == (0, 0, 10)


def test_what_is_prepared_already_is_not_prepared_again(tmp_path):
    pieces = pieces_of(write_cases(tmp_path / "set3"))
    write_dataset(tmp_path / "data", pieces, "paper")
    before = (tmp_path / "data" / "manifest.json").stat().st_mtime_ns
    write_dataset(tmp_path / "data", pieces, "paper")
    assert (tmp_path / "data" / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["source", "preparation", "slices"])
def test_what_has_changed_is_prepared_again(tmp_path, change):
    source = write_cases(tmp_path / "set3", cases=1)
    write_dataset(tmp_path / "data", pieces_of(source), "paper")
    before = (tmp_path / "data" / "images" / "case_0_F1.nii.gz").read_bytes()
    if change == "source":
        write(source / "images" / "case_0.nii.gz", slices(4, seed=9)[0].astype(np.int16) - 7, (0.8, 0.8, 5.0))
    chosen = (0, 1, 2) if change == "slices" else (0, 2)
    write_dataset(tmp_path / "data", pieces_of(source, chosen), "window" if change != "source" else "paper")
    assert (tmp_path / "data" / "images" / "case_0_F1.nii.gz").read_bytes() != before


def test_nothing_but_the_data_set_is_left_behind(tmp_path):
    write_dataset(tmp_path / "out" / "data", pieces_of(write_cases(tmp_path / "set3")), "paper")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_labels_without_lungs_are_refused_for_the_papers_preparation(tmp_path):
    found = find_set(THREE, write_png_slices(tmp_path, infected=255))
    counts = [code_counts(stack) for stack in found.stacks]
    with pytest.raises(InputError, match=r"labels hold no lung .* choose PREPARATION=window"):
        check_lungs("here", counts, "paper")


def test_labels_without_lungs_do_for_the_window(tmp_path):
    found = find_set(THREE, write_png_slices(tmp_path, infected=255))
    assert check_lungs("here", [code_counts(stack) for stack in found.stacks], "window") is None


def edges_mm(image):
    """Where the outermost pixels of the first slice begin and end."""
    width, height, _ = image.GetSize()
    corners = (-0.5, -0.5, 0.0), (width - 0.5, height - 0.5, 0.0)
    return [place for corner in corners for place in image.TransformContinuousIndexToPhysicalPoint(corner)]


@pytest.mark.parametrize("side", [20, 512, 630])
def test_resized_slices_have_256_pixels_and_the_same_edges(side):
    image = sitk.Image([side, side, 2], sitk.sitkUInt8)
    image.SetSpacing([0.7, 0.7, 5.0])
    image.SetOrigin([-100.0, 30.0, 7.0])
    small = resized(image)
    assert small.GetSize() == (256, 256, 2)
    assert edges_mm(small) == pytest.approx(edges_mm(image))


def test_half_the_pixels_are_the_means_of_four():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 512, 512), dtype=np.uint8)
    small = sitk.GetArrayFromImage(resized(sitk.GetImageFromArray(pixels)))
    means = pixels.reshape(1, 256, 2, 256, 2).mean((2, 4))
    assert np.abs(small - means).max() <= 0.5


def test_a_resized_mask_lies_where_its_structure_is_bright(tmp_path):
    write_dataset(tmp_path / "data", pieces_of(write_cases(tmp_path / "set3", cases=1)), "resized")
    files = (tmp_path / "data" / kind / "case_0_F1.nii.gz" for kind in ("images", "labels"))
    grey, codes = (sitk.GetArrayFromImage(read_scan(file)) for file in files)
    middle = np.isin(codes, (1, 2))
    # Half of the lung's pixels at least: between 20 pixels and 256 the edges are wide
    assert np.median(grey[middle]) == pytest.approx((1250 - 850) / 1500 * 255, abs=1)


def test_what_is_resized_is_not_cropped_before(tmp_path):
    codes = np.zeros((1, 630, 630), np.uint8)
    codes[0, 0, :7] = 3
    write(tmp_path / "images" / "a.nii.gz", np.full(codes.shape, -100, np.int16))
    write(tmp_path / "labels" / "a.nii.gz", codes)
    (stack,) = find_set(THREE, tmp_path).stacks
    assert [code_counts(stack, name)[0, 3] for name in ("resized", "window")] == [7, 0]
