"""Which trained models a text names, and which of them may vote together or on a patient."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, merged
from pipeline.core.errors import InputError
from pipeline.inference.members import Member, check_alike, ensemble_configuration, find_members, images_trained_on
from pipeline.training.checkpoint import FINISHED, MODEL

ENTRY = {"image": "a.nii.gz", "label": "b.nii.gz"}
DATALIST = [
    {"case": f"c{number}", "patient_id": f"p{number}", "image_sha256": f"hash{number}", **ENTRY} for number in range(3)
]


def run(folder: Path, folds: tuple[int, ...] = (0, 1), network: str = "unet_3d", **overrides) -> Path:
    """What a finished cross-validation leaves that members are found by; fold k was trained without patient k."""
    write_json(folder / f"{INFERENCE}.json", merged(INFERENCE, network, "demo", overrides, {}))
    write_json(folder / "datalist.json", {"dataset_dir": "/scans", "training": DATALIST})
    tests = [{"fold": fold, "test": [case["case"]]} for fold, case in enumerate(DATALIST)]
    write_json(folder / "folds.json", {"folds": tests})
    for fold in folds:
        write_json(folder / f"fold{fold}" / FINISHED, {})
        (folder / f"fold{fold}" / MODEL).write_bytes(b"")
    return folder


def names(models) -> list[str]:
    return [member.name for member in find_members(models)]


def test_a_folder_of_folds_is_all_of_them_in_their_order(tmp_path):
    assert names(str(run(tmp_path / "a", (10, 2, 1)))) == ["fold1", "fold2", "fold10"]


def test_a_fold_that_is_still_trained_is_no_member_of_its_folder(tmp_path):
    folder = run(tmp_path / "a", (0, 1, 2))
    (folder / "fold1" / FINISHED).unlink()
    assert names(str(folder)) == ["fold0", "fold2"]


def test_several_names_are_separated_by_spaces(tmp_path):
    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert names(f"{one}/fold0 {other}") == ["a-fold0", "b-fold0", "b-fold1"]


def test_a_folder_with_a_space_is_one_name(tmp_path):
    assert names(str(run(tmp_path / "a b"))) == ["fold0", "fold1"]


@pytest.mark.parametrize("second", ["infection", "kinds"])
def test_a_second_stage_stands_for_its_cascade(tmp_path, second):
    run(tmp_path / second)
    assert [member.weights.parent for member in find_members(str(tmp_path))] == [
        tmp_path / second / "fold0",
        tmp_path / second / "fold1",
    ]


def test_a_member_that_is_named_twice_is_refused(tmp_path):
    folder = run(tmp_path / "a")
    with pytest.raises(InputError, match="twice"):
        find_members(f"{folder} {folder}/fold1")


@pytest.mark.parametrize("missing", ["nowhere", "nowhere/fold0"])
def test_a_model_that_is_not_there_is_named(tmp_path, missing):
    with pytest.raises(InputError, match=f"MODEL is .*{missing}, but there is no "):
        find_members(str(tmp_path / missing))


def test_a_folds_own_configuration_comes_before_that_of_all_folds(tmp_path):
    folder = run(tmp_path / "a")
    write_json(folder / "fold1" / f"{INFERENCE}.json", {})
    files = [member.configuration for member in find_members(str(folder))]
    assert files == [folder / f"{INFERENCE}.json", folder / "fold1" / f"{INFERENCE}.json"]


@pytest.mark.parametrize(
    ("case", "seen"),
    [
        ({"patient_id": "p0", "image_sha256": "new"}, False),
        ({"patient_id": "p1", "image_sha256": "new"}, True),
        ({"patient_id": "new", "image_sha256": "hash1"}, True),
        ({"patient_id": "new", "image_sha256": "new"}, False),
    ],
)
def test_a_member_knows_whom_it_was_trained_on(tmp_path, case, seen):
    assert Member("fold0", run(tmp_path) / "fold0" / MODEL).has_seen(case) == seen


def test_a_member_whose_training_nobody_knows_is_refused(tmp_path):
    (run(tmp_path) / "folds.json").unlink()
    with pytest.raises(InputError, match="nothing beside it tells which patients"):
        Member("fold0", tmp_path / "fold0" / MODEL).has_seen(DATALIST[0])


def test_the_images_that_a_member_was_trained_on_are_known_by_their_content(tmp_path):
    fold0, fold1 = find_members(run(tmp_path))
    hashes = [{entry["image_sha256"] for entry in member.trained_on} for member in (fold0, fold1)]
    assert images_trained_on([fold0]) == hashes[0]
    assert images_trained_on([fold0, fold1]) == hashes[0] | hashes[1]


def test_of_a_model_whose_training_nobody_knows_no_image_is_known(tmp_path):
    (run(tmp_path) / "folds.json").unlink()
    assert images_trained_on(find_members(tmp_path)) == frozenset()


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"spacing_mm": [1.0, 1.0, 1.0]}, "spacing_mm"),
        ({"label_map": "infection"}, "label_map"),
        ({"patch_size": [32, 32, 32]}, "patch_size"),
        ({"infection_threshold": 0.3}, "infection_threshold"),
    ],
)
def test_members_that_see_or_answer_otherwise_are_refused(tmp_path, other, key):
    members = find_members([run(tmp_path / "a") / "fold0", run(tmp_path / "b", **other) / "fold0"])
    with pytest.raises(InputError, match=f"a has {key} .* and b has "):
        check_alike(members)


def test_a_volume_network_and_a_slice_network_are_refused(tmp_path):
    members = find_members([run(tmp_path / "a") / "fold0", run(tmp_path / "b", network="enet") / "fold0"])
    with pytest.raises(InputError, match="has spatial_dims"):
        check_alike(members)


def test_different_networks_with_one_front_fit(tmp_path):
    members = find_members(
        [run(tmp_path / "a", network="anam_net") / "fold0", run(tmp_path / "b", network="unet_2d") / "fold0"]
    )
    content = ensemble_configuration(members, "vote", None)
    assert content["models"] == [str(member.weights) for member in members]
