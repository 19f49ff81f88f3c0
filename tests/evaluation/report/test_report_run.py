"""Reading a cross-validation's folder, whole or in part."""

from __future__ import annotations

import shutil

import pytest
from report_makers import SETTINGS, write_fold, write_json, write_run

from evaluation.report.run import read_history, read_run
from pipeline.core.errors import InputError


@pytest.fixture
def cascade(tmp_path):
    for name in ("infection", "lungs"):
        write_json(
            tmp_path / name / "train.json", {**SETTINGS, "name": f"{name}_net", "within_lungs": name == "infection"}
        )
        write_fold(tmp_path / name / "fold0", 0)
    return tmp_path


def test_a_finished_run_is_read_whole(tmp_path):
    run = read_run(write_run(tmp_path, cases=3))
    assert (run.network, len(run.cases), len(run.rows)) == ("unet_3d", 3, 12)
    assert sorted(run.stages[0].trainings) == sorted(run.stages[0].histories) == [0, 1]


def test_a_folder_without_a_run_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(InputError, match="give the folder that make cv wrote"):
        read_run(tmp_path)


def test_a_run_that_has_only_begun_is_read(tmp_path):
    write_json(tmp_path / "train.json", SETTINGS)
    run = read_run(tmp_path)
    assert (run.rows, dict(run.cases), run.folds, run.stages[0].trainings) == ((), {}, {}, {})


def test_the_lungs_of_a_cascade_come_before_its_infection(cascade):
    assert read_run(cascade).network == "lungs_net>infection_net"


def test_the_result_of_a_cascade_has_lungs_and_infection(cascade):
    assert list(read_run(cascade).label_map.structures) == ["lungs", "infection"]


def test_the_result_of_a_cascade_that_tells_kinds_is_that_of_its_second_stage(tmp_path):
    for name, classes in (("kinds", "infection_kinds"), ("infection_map", "infection")):
        write_json(tmp_path / name / "train.json", {**SETTINGS, "name": f"{name}_net", "label_map": classes})
    run = read_run(tmp_path)
    assert run.network == "infection_map_net>kinds_net"
    assert list(run.label_map.structures) == ["infection", "ground_glass_opacity", "consolidation"]


def test_scans_that_were_moved_are_found_in_the_folder_given(tmp_path):
    out = write_run(tmp_path, cases=2)
    moved = shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    assert read_run(out, moved).dataset_dir == moved


def test_a_damaged_file_is_named(tmp_path):
    write_json(tmp_path / "train.json", SETTINGS)
    (tmp_path / "folds.json").write_text("{")
    with pytest.raises(InputError, match=r"folds\.json: is no JSON"):
        read_run(tmp_path)


def test_epochs_without_validation_are_no_points_of_its_curve(tmp_path):
    write_fold(tmp_path, fold=0, epochs=4)
    assert read_history(tmp_path / "history.csv")["val_loss"] == [(2, 0.6), (4, 0.3)]


def test_a_loss_that_is_no_number_is_left_out(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss\n1,nan,\n2,0.5,\n")
    assert read_history(tmp_path / "history.csv") == {"train_loss": [(2, 0.5)]}


def test_a_history_with_words_in_it_is_named(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss\none,0.5,\n")
    with pytest.raises(InputError, match=r"history\.csv: is no history"):
        read_history(tmp_path / "history.csv")


def test_how_long_segmenting_took_is_read_where_it_was_written(tmp_path):
    write_json(tmp_path / "train.json", SETTINGS)
    write_json(tmp_path / "fold1" / "segmentation.json", {"cases": 4, "seconds": 20.0})
    assert read_run(tmp_path).stages[0].segmentations == {1: {"cases": 4, "seconds": 20.0}}
