"""A study of two folders is that of one folder with the files of both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.data.datalist import load_datalist, read_datalist
from pipeline.data.study import Study, check_unchanged, load_study, open_study
from pipeline.phantom.dataset import write_phantom

FIRST = 2
OF_FILES = ("image", "label")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder `all` of four chests, and the same in `a` and in `my scans`, two each."""
    root = tmp_path_factory.mktemp("several")
    write_phantom(root / "all", patients=4, coarsening=4.0)
    manifest = json.loads((root / "all" / "manifest.json").read_text())
    for name, own in (("a", manifest["cases"][:FIRST]), ("my scans", manifest["cases"][FIRST:])):
        for case in own:
            for kind in ("images", "labels"):
                (root / name / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(root / "all" / kind / f"{case['case']}.nii.gz", root / name / kind)
        (root / name / "manifest.json").write_text(json.dumps({**manifest, "cases": own}))
    return root


@pytest.fixture
def root(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "root"))


@pytest.fixture
def both(root) -> str:
    return f"{root}/a '{root}/my scans'"


def without_paths(study: Study) -> list[dict[str, object]]:
    return [{key: value for key, value in case.items() if key not in OF_FILES} for case in study.datalist["training"]]


def test_entries_and_folds_are_those_of_one_folder_with_all_files(root, both, tmp_path):
    one, two = (open_study(tmp_path / f"out{count}", data, folds=2) for count, data in enumerate((root / "all", both)))
    assert without_paths(one) == without_paths(two)
    assert one.folds == two.folds
    for mine, other in zip(one.held_out(0), two.held_out(0), strict=True):
        assert all(Path(mine[key]).read_bytes() == Path(other[key]).read_bytes() for key in OF_FILES)


def test_a_datalist_says_which_folders_it_is_of(root, both):
    datalist = read_datalist(both)
    assert (datalist["dataset_dir"], datalist["folders"]) == (str(root), ["a", "my scans"])
    assert [case["image"].rpartition("/images/")[0] for case in datalist["training"]] == [*["a"] * 2, *["my scans"] * 2]


def test_that_of_one_folder_is_what_it_was(root):
    assert [*read_datalist(root / "all")] == ["layout", "dataset_dir", "label_codes", "training"]


def test_a_study_goes_on_in_whatever_order_its_folders_are_named(root, both, tmp_path):
    begun = open_study(tmp_path / "out", both, folds=2)
    assert (
        open_study(tmp_path / "out", [f"{root}/my scans", f"{root}/a"], folds=2)
        == begun
        == load_study(tmp_path / "out")
    )


def test_a_study_of_two_folders_is_not_that_of_one(root, both, tmp_path):
    open_study(tmp_path / "out", both, folds=2)
    with pytest.raises(InputError) as told:
        open_study(tmp_path / "out", root / "a", folds=2)
    assert str(told.value) == (
        f"{tmp_path}/out: holds a study of {root}/a and {root}/my scans, but DATA is {root}/a; choose another OUT, "
        "such as runs/a, or delete that folder."
    )


def test_a_study_travels_without_its_scans(root, both, tmp_path):
    begun = open_study(tmp_path / "out", both, folds=2)
    for name in ("a", "my scans"):
        shutil.rmtree(root / name)
    assert open_study(tmp_path / "out", both, folds=2) == begun


def test_a_change_in_any_folder_is_noticed(root, both, tmp_path):
    study = open_study(tmp_path / "out", both, folds=2)
    check_unchanged(study)
    for kind in ("images", "labels"):
        (root / "my scans" / kind / "phantom_04.nii.gz").unlink()
    with pytest.raises(InputError, match="case phantom_04: has changed, come or gone"):
        check_unchanged(study)


@pytest.mark.parametrize("place", ["a", "my scans", "my scans/labels"])
def test_no_results_go_into_any_of_the_folders(root, both, place):
    with pytest.raises(InputError, match="folder of its own"):
        open_study(root / place, both, folds=2)


def test_folders_may_lie_beside_their_results(root, both):
    open_study(root / "out", both, folds=2)
    assert load_datalist(root / "out" / "datalist.json")["folders"] == ["a", "my scans"]
