"""What a file says of the way from a scan to its label: all that `run_onnx.py` asks, as the pipeline does it."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.project import ROOT
from pipeline.inference.features import Model, untrained
from pipeline.scans.front import CUBIC, Front
from pipeline.small_devices.deployed import changed, metadata
from pipeline.small_devices.runner_agreement import RUN_ONNX
from pipeline.small_devices.scheme import needed, scheme, shift_and_scale, to_grey_levels, to_grid, to_label


def windows(**settings: object) -> Model:
    return changed(untrained("unet_3d", "demo"), {"device": "$torch.device('cpu')", **settings})


def slices(**settings: object) -> Model:
    return changed(untrained("anam_net", "demo"), {"device": "$torch.device('cpu')", **settings})


def test_everything_that_the_runner_asks_is_told():
    asked = set(re.findall(r'told\["(\w+)"\]', RUN_ONNX.read_text())) | {"input_size", "steps"}
    assert asked <= scheme(windows(), (16, 16, 8)).keys()


def test_all_values_are_plain_numbers_names_and_lists():
    told = scheme(windows(), (16, 16, 8))
    assert {key: type(value) for key, value in json.loads(json.dumps(told)).items()}.keys() == told.keys()


def test_metadata_has_the_scheme_and_its_number():
    told = metadata(windows(), (16, 16, 8))
    assert (told["scheme"], told["joining_of"]) == ("2", "logits")


def test_windows_begin_every_half_window():
    told = scheme(windows(overlap=0.5), (16, 16, 9))
    assert (told["inputs"], told["steps"]) == ("windows", [8, 8, 4])


def test_slices_lie_side_by_side():
    told = scheme(slices(), (96, 96))
    assert (told["inputs"], told["steps"], told["at_once"]) == ("slices", [96, 96], 2)


def test_tiles_lie_side_by_side():
    told = scheme(slices(in_tiles=True), (32, 32))
    assert (told["inputs"], told["steps"], told["at_once"]) == ("tiles", [32, 32], 16)


@pytest.mark.parametrize(
    ("model", "size", "padding"), [(windows, (16, 16, 8), "mirrored"), (slices, (96, 96), "minimum")]
)
def test_what_is_beyond_a_scan_is_its_mirror_image_in_3d_and_air_in_2d(model, size, padding):
    assert scheme(model(), size)["padding"] == padding


def test_no_word_of_a_3d_networks_file_speaks_of_air():
    assert "air" not in metadata(windows(), (16, 16, 8))["preprocessing"]


def test_the_words_of_a_2d_networks_file_speak_of_air():
    assert "air" in metadata(slices(), (96, 96))["preprocessing"]


def test_the_threshold_of_infection_is_a_factor_of_its_class():
    told = to_label(label_map("lungs_infection"), 0.2, 0)
    assert told["class_factors"] == pytest.approx([1, 1, 1, 4])


def test_the_smallest_part_is_told_where_a_network_knows_lungs():
    assert scheme(windows(smallest_lung_part=0.3), (16, 16, 9))["smallest_part"] == 0.3
    alone = windows(smallest_lung_part=0.3, label_map="infection")
    assert scheme(alone, (16, 16, 9))["smallest_part"] == 0


def test_a_network_that_sees_air_beyond_the_lungs_is_refused():
    with pytest.raises(InputError, match="air_beyond_lungs_mm is given"):
        scheme(windows(air_beyond_lungs_mm=5), (16, 16, 9))


def test_the_codes_of_a_class_and_the_value_that_is_written_are_told():
    told = to_label(label_map("abnormal_normal"), 0.5, 0)
    assert (told["label_values"], told["project_codes"]["abnormal"]) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize(
    ("setting", "found"), [({}, []), ({"within_lungs": True}, ["lungs"]), ({"guided": True}, ["infection"])]
)
def test_a_second_network_of_a_cascade_needs_what_the_first_one_finds(setting, found):
    assert needed(Front(**setting)) == found


def test_the_zscore_is_told_by_names():
    assert shift_and_scale("zscore") == {
        "subtract": "mean",
        "divide_by": "standard deviation",
        "deviation_plus": 1e-6,
    }


@pytest.mark.parametrize(("name", "numbers"), [("window", (127.5, 127.5)), ("unit", (0.0, 255.0))])
def test_other_normalisations_are_told_by_numbers(name, numbers):
    told = shift_and_scale(name)
    assert (told["subtract"], told["divide_by"]) == numbers


def test_landmarks_are_told_by_how_they_are_found_and_by_the_numbers_of_a_scan_without():
    told = to_grey_levels(Front(normalisation="landmarks"))
    assert (told["subtract"], told["divide_by"]) == (127.5, 127.5)
    assert set(told["landmarks"]) == {"enclosed_share", "frequent", "smoothing", "smallest_contrast"}
    assert to_grey_levels(Front())["landmarks"] is None


def test_a_cubic_spline_is_mirrored_at_the_edges():
    assert to_grid(Front(order=CUBIC))["interpolation_edges"].startswith("mirrored")


def test_the_page_on_small_devices_explains_every_key():
    page = (ROOT / "docs" / "small-devices.md").read_text(encoding="utf-8")
    assert set(metadata(windows(), (16, 16, 8))) <= set(re.findall(r"`(\w+)`", page))
