"""A study is written down once and refuses to become another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import SimpleITK as sitk

from pipeline.core.errors import InputError
from pipeline.data.study import check_unchanged, load_study, open_study, unpredicted
from pipeline.folders.output_folder import MARK

PATIENTS = ["a", "a", "b", "c"]


@pytest.fixture
def data(tmp_path: Path, write_dataset) -> Path:
    return write_dataset(tmp_path / "data", PATIENTS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def complaint(*arguments, **named) -> str:
    with pytest.raises(InputError) as caught:
        open_study(*arguments, **named)
    return str(caught.value)


def test_a_study_is_written_down(data, out):
    open_study(out, data, folds=3)
    assert sorted(file.name for file in out.iterdir()) == [MARK, "datalist.json", "folds.json"]


def test_a_study_is_kept(data, out):
    open_study(out, data, folds=3)
    before = {file: file.stat() for file in out.iterdir()}
    open_study(out, data, folds=3)
    assert {file: file.stat() for file in out.iterdir()} == before


def test_a_study_is_loaded_as_it_was_opened(data, out):
    assert open_study(out, data, folds=3) == load_study(out)


@pytest.mark.parametrize("fold", range(3))
def test_a_fold_trains_on_what_it_does_not_hold_out(data, out, fold):
    study = open_study(out, data, folds=3)
    trained, held_out = ({case["case"] for case in cases} for cases in (study.training(fold), study.held_out(fold)))
    assert trained.isdisjoint(held_out)
    assert trained | held_out == {f"case_{number}" for number in range(len(PATIENTS))}


@pytest.mark.parametrize("key", ["image", "label"])
def test_cases_have_absolute_paths(data, out, key):
    (path,) = {Path(case[key]).parent for case in open_study(out, data, folds=3).training(0)}
    assert path == data / f"{key}s"


def test_another_number_of_folds_is_refused(data, out):
    open_study(out, data, folds=3)
    said = complaint(out, data, folds=2)
    assert said.startswith(f"{out}: was split into 3 folds (split patients, seed 0), now 2 (split patients, seed 0)")


def test_another_seed_is_refused(data, out):
    open_study(out, data, folds=3)
    assert "seed 0), now 3 (split patients, seed 1) are asked for" in complaint(out, data, folds=3, seed=1)


def test_another_data_set_is_refused(data, out):
    open_study(out, data, folds=3)
    other = shutil.copytree(data, data.with_name("other"))
    assert complaint(out, other, folds=3).startswith(f"{out}: holds a study of {data}, but DATA is {other}")


def test_a_study_of_unchanged_files_goes_on(data, out):
    assert check_unchanged(open_study(out, data, folds=3)) is None


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_a_changed_file_is_noticed_and_its_case_named(data, out, kind):
    study = open_study(out, data, folds=3)
    image = sitk.ReadImage(str(data / kind / "case_2.nii.gz"))
    image[0, 0, 0] = 1
    sitk.WriteImage(image, str(data / kind / "case_2.nii.gz"))
    with pytest.raises(InputError, match=r"^case case_2: has changed, .* \(1 such cases\)"):
        check_unchanged(study)


def test_a_case_that_is_gone_is_noticed(data, out):
    study = open_study(out, data, folds=3)
    for kind in ("images", "labels"):
        (data / kind / "case_3.nii.gz").unlink()
    with pytest.raises(InputError, match=r"^case case_3: has changed, come or gone"):
        check_unchanged(study)


def test_a_case_with_a_prediction_is_not_predicted_again(data, out):
    study = open_study(out, data, folds=3)
    fold = next(fold for fold in range(3) if len(study.held_out(fold)) == 2)
    first, second = study.held_out(fold)
    study.prediction(first).parent.mkdir()
    study.prediction(first).touch()
    assert unpredicted(out, fold) == [{"case": second["case"], "image": second["image"]}]


def test_without_predictions_all_held_out_cases_are_left(data, out):
    study = open_study(out, data, folds=3)
    assert [case["case"] for case in study.unpredicted(0)] == [case["case"] for case in study.held_out(0)]
