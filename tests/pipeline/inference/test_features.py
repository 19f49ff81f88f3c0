"""Feature maps of a scan: which slice, whose weights, the pictures and the page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

from evaluation.report.feature_page import (
    BlockPicture,
    FeatureViews,
    Found,
    coloured,
    file_name,
    grey,
    page,
    write_views,
)
from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, merged
from pipeline.core.errors import InputError
from pipeline.inference.features import (
    UNTRAINED,
    Model,
    chosen_model,
    feature_views,
    fullest_slice,
    parsed,
    slab,
    trained,
    untrained,
)

CLASSES = ("background", "left_lung", "right_lung", "infection")
TINY = {"amc_net": {"network_def::features": [2, 4]}, "covid_segnet": {"network_def::base": 2}}


@pytest.fixture
def case(tmp_path, make_chest):
    scan, _ = make_chest()
    sitk.WriteImage(scan, str(tmp_path / "case_0.nii.gz"))
    return {"case": "case_0", "image": str(tmp_path / "case_0.nii.gz")}


@pytest.fixture
def make_fold(tmp_path, tiny_training):
    """Maker of a fold as cross-validation leaves it, its weights drawn at random."""

    def made(network: str, infection_bias: float = 0.0) -> Path:
        overrides = {**tiny_training(), "spacing_mm": [0, 0, 0], "slice_size": [16, 16], **TINY[network]}
        usable = {key: value for key, value in overrides.items() if key != "scales"}
        configuration = merged(INFERENCE, network, "demo", usable, {})
        fold = tmp_path / "runs" / network / "cv" / "fold0"
        write_json(fold.parent / "inference.json", configuration)
        weights = Model(parsed(configuration), None).network().state_dict()
        weights["output.bias"][CLASSES.index("infection")] += infection_bias
        fold.mkdir()
        torch.save(weights, fold / "model.pt")
        return fold

    return made


def views(found: bool = True) -> FeatureViews:
    """A slice of 6 x 4 pixels, twice as high as wide, with two maps."""
    image = np.arange(24.0).reshape(6, 4)
    labels = np.zeros((6, 4), np.uint8)
    labels[1:3, 1:3] = 3
    return FeatureViews(
        network="amc_net",
        case="case <1>",
        remarks=["Weights: some"],
        number=3,
        of=9,
        pixel_mm=(1.0, 3.0),
        image=image,
        found=Found(labels, (labels == 3) * 0.75, CLASSES, (3,)) if found else None,
        blocks=[BlockPicture("encoder.0", (16, 6, 4), image), BlockPicture("columns.0 map 2", (8, 3, 2), -image)],
    )


def labelled(**slices: int) -> np.ndarray:
    """Class numbers (4, 4, 5) with so many pixels of a class in a slice: `c3_s1=2` is two of class 3 in slice 1."""
    labels = np.zeros((4, 4, 5), np.uint8)
    for name, pixels in slices.items():
        number, place = int(name[1]), int(name[4])
        labels[..., place].flat[:pixels] = number
    return labels


def test_the_slice_is_the_one_with_most_infection():
    assert fullest_slice(labelled(c1_s0=9, c3_s1=2, c3_s3=4), [3]) == 3


def test_without_infection_it_is_the_one_with_most_of_any_structure():
    assert fullest_slice(labelled(c1_s1=9, c2_s3=4), [3]) == 1


def test_without_any_structure_it_is_the_middle_one():
    assert fullest_slice(labelled(), [3]) == 2


@pytest.mark.parametrize(("place", "expected"), [(0, (0, 4)), (5, (3, 7)), (9, (6, 10))])
def test_a_slab_has_its_slice_in_the_middle_as_far_as_the_ends_allow(place, expected):
    assert slab(10, place, 4) == slice(*expected)


def test_a_slab_is_no_thicker_than_the_scan():
    assert slab(3, 1, 8) == slice(0, 3)


@pytest.mark.parametrize("network", ["amc_net", "covid_segnet"])
def test_every_map_has_the_size_of_the_slice(make_fold, case, network):
    made = feature_views(trained(make_fold(network)), case)
    assert {block.mean.shape for block in made.blocks} == {made.image.shape} == {(24, 20)}


def test_the_prediction_is_that_of_the_slice_shown(make_fold, case):
    made = feature_views(trained(make_fold("amc_net", infection_bias=100.0)), case)
    assert (made.found.labels == 3).all()
    assert made.found.probability.min() > 0.99


def test_an_untrained_network_shows_the_middle_slice_and_no_prediction(case):
    made = feature_views(untrained("unet_amc", "demo"), case)
    assert (made.number, made.found, made.remarks) == (made.of // 2 + 1, None, [UNTRAINED])


def test_initial_weights_are_the_same_each_time():
    first, second = (next(untrained("unet_amc", "demo").network().parameters()) for _ in range(2))
    assert torch.equal(first, second)


def test_a_cascade_that_is_not_trained_is_refused():
    with pytest.raises(InputError, match=r"^NETWORK is chs_net, a cascade .* or choose a network of it: raiu_net\.$"):
        untrained("chs_net", "demo")


def test_a_model_that_was_asked_for_and_is_missing_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"^MODEL is .*there is no"):
        chosen_model("amc_net", tmp_path / "nothing", tmp_path, "demo")


def test_the_usual_fold_is_taken_where_it_is_trained(make_fold):
    fold = make_fold("amc_net")
    assert chosen_model("amc_net", None, fold, "demo").weights == fold / "model.pt"


def test_without_the_usual_fold_the_weights_are_the_initial_ones(tmp_path):
    assert chosen_model("amc_net", None, tmp_path / "runs" / "fold0", "demo").weights is None


def test_the_folders_above_the_run_are_not_told(make_fold, case, tmp_path):
    made = feature_views(trained(make_fold("amc_net")), case)
    assert made.remarks == ["Weights: cv/fold0/model.pt"]


def test_a_map_goes_from_its_own_smallest_value_in_blue_to_its_largest_in_red():
    picture = coloured(np.array([[-3.0, 0.0], [1.0, 5.0]]))
    assert (picture[0, 0].tolist(), picture[1, 1].tolist()) == ([0, 0, 128], [128, 0, 0])


def test_a_constant_map_is_drawn():
    assert np.unique(coloured(np.ones((3, 2))).reshape(-1, 3), axis=0).tolist() == [[0, 0, 128]]


def test_pictures_have_a_row_from_right_to_left_of_the_patient():
    # Along axis 0, towards the patient's left, it grows brighter: so does each row of the picture
    picture = grey(np.arange(6.0)[:, None] * np.ones((6, 4)))
    assert (picture.shape, bool((np.diff(picture[0].astype(int)) > 0).all())) == ((4, 6), True)


def test_a_blocks_name_becomes_a_files():
    assert file_name("columns.0 map 2") == "columns.0_map_2"


def test_there_is_a_picture_a_block_in_the_size_of_the_slice(tmp_path):
    _, *pictures = write_views(views(), tmp_path)
    assert [file.name for file in pictures] == ["00_slice.png", "01_encoder.0.png", "02_columns.0_map_2.png"]
    assert {Image.open(io.BytesIO(file.read_bytes())).size for file in pictures} == {(6, 4)}


def test_the_page_names_the_blocks_in_order_with_their_sizes():
    text = page(views())
    assert text.index("1. encoder.0") < text.index("16 channels, 6 x 4") < text.index("2. columns.0 map 2")


def test_the_page_draws_pixels_as_wide_as_they_are():
    # 6 mm across and 12 mm down
    assert 'viewBox="0 0 320 640.0"' in page(views())


@pytest.mark.parametrize(("found", "drawings"), [(True, 3), (False, 1)])
def test_a_prediction_is_drawn_where_there_is_one(found, drawings):
    assert page(views(found)).split('id="blocks"')[0].count("<svg") == drawings


def test_the_page_says_that_nothing_was_found():
    one = views()
    assert "No infection was found." in page(one._replace(found=one.found._replace(labels=0 * one.found.labels)))


def test_a_name_of_a_case_is_text_not_markup():
    assert "case <1>" not in page(views())


def test_the_page_needs_no_other_file():
    assert not any(f'="{address}' in page(views()) for address in ("http", "/", "file"))
