"""What modes change, measured on scans held out from a fold, and kept beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import dataset, tiny_overrides
from exported import small_run

from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.data.study import Study, load_study, open_study
from pipeline.inference.auto_mode import read_measured
from pipeline.inference.fidelity import Segmented, agreement, compare, compared_scans, measure
from pipeline.inference.members import find_members


@pytest.fixture
def fold(tmp_path) -> Path:
    """A member whose study holds out two of four tiny chests, or one."""
    open_study(tmp_path / "cv", dataset(tmp_path / "data", ["one", "two", "three", "four"]), 2)
    own = {"spacing_mm": [0, 0, 0], "patch_size": [16, 16, 8], "mixed_precision": False}
    return small_run("unet_3d", tmp_path / "cv", {**tiny_overrides(), **own}) / "fold0"


def test_modes_are_compared_with_exact_on_held_out_scans_and_kept(fold):
    (member,) = find_members(fold)
    measured = measure(member, ["whole", "fast"])
    held_out = {case["case"] for case in load_study(fold.parent).held_out(0)}
    assert list(measured) == ["exact", "whole", "fast"]
    assert {*measured["fast"].seconds} == {*measured["fast"].dice["infection"]} == held_out
    assert {*measured["exact"].mean_dice().values()} == {1}
    assert min(measured["whole"].mean_dice().values()) > 0.99
    assert [modes.keys() for modes in read_measured(member).values()] == [measured.keys()]


def test_eight_bits_are_measured_with_the_file_that_they_are_from(fold):
    for needed in ("openvino", "nncf"):
        pytest.importorskip(needed, reason="the extra `openvino` is not installed: pip install -e '.[openvino]'")
    from pipeline.inference.calibration import calibrate

    (member,) = find_members(fold)
    calibrate(member.weights)
    measured = measure(member, ["int8"])["int8"]
    assert measured.mean_dice()["infection"] > 0.8
    assert len(measured.eight_bits_sha256) == 1


def test_the_table_has_a_row_a_mode(fold):
    lines = compare(fold, ["windows"]).splitlines()
    assert [line.split()[0] for line in lines] == ["mode", "exact", "windows"]


def test_dice_is_of_the_scans_in_which_exact_finds_the_structure():
    labels = label_map("lungs_infection")
    exact = {"a": np.array([[[1, 1, 3, 3]]]), "b": np.array([[[1, 1, 0, 0]]])}
    own = {"a": np.array([[[1, 1, 3, 0]]]), "b": np.array([[[1, 1, 0, 3]]])}
    found = agreement(Segmented(exact, labels, {}), Segmented(own, labels, {}))
    assert found == {
        "left_lung": {"a": 1.0, "b": 1.0},
        "right_lung": {},
        "lungs": {"a": 1.0, "b": 1.0},
        "infection": {"a": pytest.approx(2 / 3)},
    }


def test_of_many_scans_those_with_infection_come_first(fold, monkeypatch):
    volumes_ml = {"a": 0, "b": 2, "c": 0, "d": 1, "e": 3}
    cases = [{"case": name, "image": __file__, "volume_ml": {"infection": ml}} for name, ml in volumes_ml.items()]
    monkeypatch.setattr(Study, "held_out", lambda *_: cases)
    assert [case["case"] for case in compared_scans(find_members(fold)[0])] == ["b", "d", "e"]


def test_scans_that_are_gone_are_told(fold):
    for case in load_study(fold.parent).held_out(0):
        Path(case["image"]).unlink()
    with pytest.raises(InputError, match=r"none of the scans held out from its fold is there; put the data set back"):
        measure(find_members(fold)[0], ["whole"])


def test_a_model_that_was_moved_is_told(fold):
    (fold.parent / "folds.json").unlink()
    with pytest.raises(InputError, match=r"is in no fold of a cross-validation"):
        measure(find_members(fold)[0], ["whole"])


def test_several_models_are_refused(fold):
    with pytest.raises(InputError, match=r"^MODEL is .*, 2 models; give one of them: "):
        compare(fold.parent, ["whole"])
