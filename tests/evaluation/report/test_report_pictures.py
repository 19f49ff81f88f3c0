"""Slices of a case: their orientation, what is left out, how they are stored and drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from report_makers import write_run

from evaluation.report import panels
from evaluation.report.atlas import atlas, encoded_hu, tiled, webp
from evaluation.report.pictures import chosen_cases, pictures, viewer_settings
from evaluation.report.run import read_run
from evaluation.report.stack import Stack, cropped, fullest_slice, read_stack, thinned
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS

OWN = LABEL_MAPS["lungs_infection"]
WINDOW_HU = (-1250, 250)


@pytest.fixture
def read(tmp_path):
    """Write a scan, its labels and, unless given, the same as prediction; read them as a stack."""

    def written(image, label, prediction=None):
        files = [tmp_path / f"{name}.nii.gz" for name in ("image", "label", "prediction")]
        for file, content in zip(files, (image, label, prediction or label), strict=True):
            sitk.WriteImage(content, str(file))
        return read_stack(*files, "case", OWN, WINDOW_HU)

    return written


def stack_of(shape=(6, 40, 30), spacing_mm=(4.0, 2.0, 2.0), **arrays):
    empty = {
        "hu": np.full(shape, -1000, np.int16),
        **{name: np.zeros(shape, np.uint8) for name in ("reference", "prediction")},
    }
    return Stack(**{**empty, **arrays}, spacing_mm=spacing_mm, numbers=tuple(range(1, shape[0] + 1)), of=shape[0])


def box(shape=(6, 40, 30), value=1, where=np.s_[2:4, 10:20, 5:15]):
    mask = np.zeros(shape, np.uint8)
    mask[where] = value
    return mask


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)])
def test_the_patients_right_is_on_the_left_of_the_picture(make_chest, read, direction):
    image, label = make_chest(direction=direction)
    stack = read(image, label)
    columns = {code: np.nonzero(stack.reference == code)[2].mean() for code in (1, 2)}
    in_patient = {code: label.TransformContinuousIndexToPhysicalPoint(centre(label, code))[0] for code in (1, 2)}
    # In LPS a smaller coordinate is further to the patient's right
    assert (columns[1] < columns[2]) == (in_patient[1] < in_patient[2])


def centre(label, code):
    return [float(place) for place in np.argwhere(sitk.GetArrayFromImage(label) == code).mean(0)[::-1]]


def test_slices_are_counted_from_the_feet(make_chest, read):
    head_first, label = make_chest(direction=(1, 0, 0, 0, 1, 0, 0, 0, -1))
    voxels = read(head_first, label).hu
    assert (voxels[0] == sitk.GetArrayFromImage(head_first)[-1]).all()


def test_a_scan_stored_as_grey_takes_the_windows_hounsfield_units(make_chest, make_image, read):
    _, label = make_chest()
    grey = np.zeros((24, 20, 12), np.uint8)
    grey[0] = 255
    stack = read(make_image(grey), label)
    assert stack.grey
    assert (stack.hu.min(), stack.hu.max()) == pytest.approx(WINDOW_HU)


def test_files_of_different_sizes_are_refused_with_the_case(make_chest, read):
    image, label = make_chest()
    with pytest.raises(InputError, match="case case"):
        read(image, label, label[:, :, 1:])


def test_air_around_the_body_is_left_out():
    hu = np.full((6, 40, 30), -1000, np.int16)
    hu[:, 10:20, 12:18] = 40
    # 10 mm are 5 pixels of margin
    assert cropped(stack_of(hu=hu)).hu.shape == (6, 20, 16)


def test_slices_far_from_all_labels_are_left_out_where_lungs_are_labelled():
    kept = cropped(stack_of(shape=(20, 40, 30), reference=box((20, 40, 30), 1, np.s_[9:11])))
    assert kept.numbers == tuple(range(8, 14))


def test_every_slice_stays_where_lungs_are_not_labelled():
    assert len(cropped(stack_of(reference=box(value=3)), lungs=()).hu) == 6


def test_a_prediction_outside_the_body_is_not_cut_off():
    wild = box(where=np.s_[3, 0:2, 0:2])
    assert cropped(stack_of(reference=box(), prediction=wild)).prediction.sum() == 4


def test_a_large_scan_keeps_the_slices_and_pixels_asked_for():
    few = thinned(stack_of(), 3, 20)
    assert few.hu.shape == (3, 20, 15)
    assert few.numbers == (1, 3, 6)


def test_a_small_scan_is_not_enlarged():
    assert thinned(stack_of(), 64, 256).hu.shape == (6, 40, 30)


def test_pixels_become_square():
    few = thinned(stack_of(spacing_mm=(4.0, 3.0, 1.5)), 64, 256)
    assert few.hu.shape == (6, 80, 30)
    assert few.spacing_mm[1] == few.spacing_mm[2]


def test_labels_are_never_mixed():
    mixed = np.random.default_rng(0).choice(np.array([0, 3], np.uint8), (6, 40, 30))
    assert set(np.unique(thinned(stack_of(reference=mixed), 6, 17).reference)) == {0, 3}


def test_the_fullest_slice_counts_reference_and_prediction():
    stack = stack_of(reference=box(where=np.s_[1, :5]), prediction=box(where=np.s_[4, :6]))
    assert fullest_slice(stack, [1]) == 4


def test_without_labels_the_middle_slice_is_the_fullest():
    assert fullest_slice(stack_of(), [1]) == 3


@pytest.mark.parametrize(("low", "high", "step_hu"), [(-1350, -160, 9.4), (-160, 250, 3.3)])
def test_soft_tissue_has_finer_levels_than_lung(low, high, step_hu):
    hu = np.arange(low, high)
    levels = encoded_hu(hu)
    assert (high - low) / (int(levels[-1]) - int(levels[0])) == pytest.approx(step_hu, abs=0.2)


def test_slices_stand_in_rows_from_the_top_left():
    slices = np.arange(3 * 2 * 2).reshape(3, 2, 2)
    assert tiled(slices, 2).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 0, 0], [10, 11, 0, 0]]


def test_labels_are_stored_exactly():
    stored = atlas(stack_of(reference=box(value=3), prediction=box(value=1, where=np.s_[2:5, 12:25, 8:11])), 10_000)
    picture = Image.open(io.BytesIO(base64.b64decode(stored["labels"].partition(",")[2])))
    pairs, counts = np.unique(np.asarray(picture), return_counts=True)
    # 3 missed, found as 1 where 3 is, 1 where nothing is
    assert dict(zip(pairs.tolist(), counts.tolist(), strict=True))[3 * 16 + 1] == 2 * 8 * 3


def test_a_scan_that_is_too_large_is_stored_at_a_lower_quality():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    assert len(webp(noise, 2500)) < len(webp(noise, 100_000))


def test_runs_are_found_row_by_row():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], bool)
    assert list(panels.runs(mask)) == [(0, 0, 2), (0, 3, 1), (2, 1, 3)]


def test_an_area_is_drawn_run_by_run():
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True
    assert panels.area(mask) == "M80.0 80.0H240.0V160.0H80.0z"


def test_the_outline_of_a_pixel_is_its_four_edges():
    mask = np.zeros((4, 4), bool)
    mask[0, 3] = True
    edges = {"M240.0 0.0H320.0", "M240.0 80.0H320.0", "M240.0 0.0V80.0", "M320.0 0.0V80.0"}
    assert {f"M{edge}" for edge in panels.outline(mask).split("M")[1:]} == edges


def test_the_three_drawings_share_one_picture_of_the_scan():
    stack = stack_of(reference=box(value=3), prediction=box(value=3, where=np.s_[2:4, 12:22, 5:15]))
    drawn = panels.panels(stack, OWN.structures, "infection", "case_1", "scan-1")
    together = drawn.reference + drawn.prediction + drawn.agreement
    assert (together.count("<image"), together.count('href="#scan-1"')) == (1, 2)


def test_agreement_tells_found_missed_and_added():
    stack = stack_of(reference=box(value=3), prediction=box(value=3, where=np.s_[2:4, 12:22, 5:15]))
    drawn = panels.panels(stack, OWN.structures, "infection", "case_1", "scan-1").agreement
    # Of rows 10 to 20 and 12 to 22: 8 common ones, 2 only in the reference, 2 only in the prediction
    rows = {kind: drawn.split(f'class="area {kind}" d="')[1].split('"')[0].count("M") for kind in ("tp", "fn", "fp")}
    assert rows == {"tp": 8, "fn": 2, "fp": 2}


def test_the_worst_comes_first_and_the_ranked_ones_are_drawn(tmp_path):
    run = read_run(write_run(tmp_path, cases=4))
    seen = list(pictures(run, chosen_cases(run, 10)))
    assert [(picture.shown.case, picture.rank, picture.panels is not None) for picture in seen] == [
        ("case_3", "worst", True),
        ("case_2", "median", True),
        ("case_1", "", False),
        ("case_0", "best", True),
    ]


def test_a_case_whose_scan_is_gone_is_not_shown(tmp_path):
    run = read_run(write_run(tmp_path, cases=2))
    (tmp_path / "data" / "images" / "case_0.nii.gz").unlink()
    assert [shown.case for shown in chosen_cases(run, 10)] == ["case_1"]


def test_the_viewer_begins_with_the_infection_and_knows_the_networks_window(tmp_path):
    settings = viewer_settings(read_run(write_run(tmp_path, cases=2)))
    assert settings["structures"][0] == {"name": "infection", "classes": (3,)}
    assert settings["windows"][2] == {"name": "network's own", "level": -500, "width": 1500}
