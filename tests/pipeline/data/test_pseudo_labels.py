"""What is drawn from unlabelled scans, what is put on record, and what a training then takes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.data.pseudo_labels import (
    draw_rounds,
    mean_confidence,
    pool,
    recorded,
    training_cases,
    unfinished,
    write_codes,
)
from pipeline.scans.front import Front
from pipeline.scans.scan import file_sha256, read_scan

SCANS = [{"case": "a", "image": "a.nii.gz"}, {"case": "b", "image": "b.nii.gz"}]
POOL = [(place, number) for place in (0, 1) for number in range(5)]
SUMS = {"voxels": [4, 4], "probability": [4, 3], "structure_voxels": [0, 2], "structure_probability": [0, 1]}


@pytest.fixture
def pseudo(tmp_path):
    """Puts an entry on record and gives it and the record's file."""
    label = tmp_path / "x.nii.gz"
    label.write_bytes(b"label")
    entry = {"case": "x", "label": str(label), "label_sha256": file_sha256(label)}
    write_json(tmp_path / "record.json", [entry])
    return entry, tmp_path / "record.json"


def numbers(rounds):
    return [(scan["case"], number) for one in rounds for scan in one for number in scan["slices"]]


def test_the_pool_of_a_2d_network_is_every_slice_of_the_prepared_scans(tmp_path, make_chest):
    sitk.WriteImage(make_chest()[0], str(tmp_path / "a.nii.gz"))
    scans = [{"case": "a", "image": str(tmp_path / "a.nii.gz")}]
    # 12 slices of 3 mm
    assert pool(scans, Front(spacing_mm=(0, 0, 6.0)), spatial_dims=2) == [(0, number) for number in range(6)]


def test_the_pool_of_a_3d_network_is_every_scan():
    assert pool(SCANS, Front(), spatial_dims=3) == [(0, None), (1, None)]


def test_rounds_without_a_limit_draw_all_of_the_pool_once():
    drawn = numbers(draw_rounds(SCANS, POOL, per_round=3, rounds=0, seed=[0]))
    assert sorted(drawn) == [(scan["case"], number) for scan in SCANS for number in range(5)]


def test_only_the_last_round_is_smaller():
    rounds = draw_rounds(SCANS, POOL, per_round=4, rounds=0, seed=[0])
    assert [len(numbers([one])) for one in rounds] == [4, 4, 2]


def test_no_more_rounds_than_asked_for():
    assert len(draw_rounds(SCANS, POOL, per_round=4, rounds=2, seed=[0])) == 2


def test_what_is_drawn_depends_on_the_seed():
    first, again, other = (draw_rounds(SCANS, POOL, 4, 0, seed) for seed in ([0, 1], [0, 1], [0, 2]))
    assert first == again
    assert first != other


def test_a_scan_is_listed_once_a_round_with_its_slices_in_order():
    (one,) = draw_rounds(SCANS, POOL, per_round=10, rounds=0, seed=[0])
    assert one == [{**scan, "slices": [0, 1, 2, 3, 4]} for scan in SCANS]


def test_whole_scans_have_no_slices():
    (one,) = draw_rounds(SCANS, [(0, None), (1, None)], per_round=2, rounds=0, seed=[0])
    assert one == SCANS


def test_only_scans_without_a_finding_are_left_to_segment(tmp_path):
    write_json(tmp_path / "drawn.json", SCANS)
    (tmp_path / "a.nii.gz").write_bytes(b"found")
    assert unfinished(tmp_path / "drawn.json", tmp_path) == [SCANS[1]]


@pytest.mark.parametrize(
    ("name", "codes"),
    [("lungs_infection", [0, 1, 2, 3]), ("abnormal_normal", [0, 3, 1]), ("infection", [0, 3]), ("lungs", [0, 1])],
)
def test_class_numbers_become_the_projects_codes_and_back(tmp_path, make_image, name, codes):
    classes = np.arange(len(codes), dtype=np.uint8).reshape(1, 1, -1)
    sitk.WriteImage(make_image(classes), str(tmp_path / "found.nii.gz"))
    write_codes(tmp_path / "found.nii.gz", tmp_path / "codes.nii.gz", label_map(name))
    written = sitk.GetArrayFromImage(read_scan(tmp_path / "codes.nii.gz")).ravel()
    assert written.tolist() == codes
    assert label_map(name).class_of_code()[written].tolist() == classes.ravel().tolist()


def test_an_entry_has_its_scan_its_label_and_its_origin(tmp_path, make_image):
    found, labels, origin = tmp_path / "found", tmp_path / "labels", {"round": 7, "model": "m", "model_sha256": "0"}
    found.mkdir()
    sitk.WriteImage(make_image(np.zeros((1, 1, 2), np.uint8)), str(found / "a.nii.gz"))
    write_json(found / "a.json", SUMS)
    (entry,) = recorded([{**SCANS[0], "slices": [1]}], found, labels, label_map("infection"), origin)
    label = labels / "a.nii.gz"
    expected = {**SCANS[0], "slices": [1], "label": str(label), "label_sha256": file_sha256(label), **origin}
    assert entry == {**expected, "mean_confidence": 0.75, "mean_confidence_of_structures": 0.5}


def test_confidence_is_over_the_drawn_slices_alone():
    assert mean_confidence(SUMS, [0])["mean_confidence"] == 1


def test_confidence_of_a_whole_scan_is_over_all_slices():
    assert mean_confidence(SUMS, None)["mean_confidence"] == pytest.approx(7 / 8)


def test_where_nothing_is_found_the_confidence_of_structures_is_null():
    assert mean_confidence(SUMS, [0])["mean_confidence_of_structures"] is None


@pytest.mark.parametrize(
    ("trained_on", "names"), [("all", ["mine", "x"]), ("labelled", ["mine"]), ("pseudo_labelled", ["x"])]
)
def test_a_training_takes_what_it_says(pseudo, trained_on, names):
    _, record = pseudo
    assert [case["case"] for case in training_cases([{"case": "mine"}], record, trained_on)] == names


def test_without_a_record_the_labelled_are_trained_on():
    assert training_cases([{"case": "mine"}], None) == [{"case": "mine"}]


def test_pseudo_labels_alone_without_a_record_are_refused():
    with pytest.raises(InputError, match="pseudo_labelled names no file"):
        training_cases([{"case": "mine"}], None, "pseudo_labelled")


def test_another_choice_is_refused():
    with pytest.raises(InputError, match="trained_on is 'both', expected all, labelled or pseudo_labelled"):
        training_cases([], None, "both")


def test_a_pseudo_label_that_was_changed_is_refused(pseudo, tmp_path):
    _, record = pseudo
    (tmp_path / "x.nii.gz").write_bytes(b"another label")
    with pytest.raises(InputError, match="is not the pseudo label that"):
        training_cases([], record)


def test_a_pseudo_label_that_is_gone_is_refused(pseudo, tmp_path):
    _, record = pseudo
    (tmp_path / "x.nii.gz").unlink()
    with pytest.raises(InputError, match="is not the pseudo label that"):
        training_cases([], record)
