"""Folds of a cross-validation side by side: how many at a time, and what one that fails stops."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from pipeline.core import logs
from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.runs.cross_validation import CrossValidation


@pytest.fixture
def make(tmp_path):
    return partial(CrossValidation, "unet_3d", "scans", 4, "demo", str(tmp_path))


def test_two_jobs_run_two_folds_at_a_time(make, monkeypatch):
    both = threading.Barrier(2, timeout=30)
    monkeypatch.setattr(CrossValidation, "run_fold", lambda self, study, fold: both.wait())
    make(jobs=2).run_folds(None, range(4))
    assert not both.broken


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (3, 3), (64, 4)])
def test_no_number_of_jobs_is_a_fold_a_core_and_one_alone_on_a_gpu(make, monkeypatch, cores, at_once):
    monkeypatch.setattr("pipeline.runs.cross_validation.cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert make(jobs=0).side_by_side == at_once
    assert make(jobs=0, only_fold=2).side_by_side == 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert make(jobs=0).side_by_side == 1
    assert make(jobs=2).side_by_side == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_fold_is_run_once(make, monkeypatch, jobs):
    done = []
    monkeypatch.setattr(CrossValidation, "run_fold", lambda self, study, fold: done.append(fold))
    make(jobs=jobs).run_folds(None, range(4))
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize(("jobs", "bars"), [(1, True), (2, False)])
def test_folds_side_by_side_draw_no_bars_over_each_other(make, monkeypatch, jobs, bars):
    seen = set()
    monkeypatch.setattr(CrossValidation, "run_fold", lambda self, study, fold: seen.add(logs.settings().bars))
    make(jobs=jobs).run_folds(None, range(2))
    assert seen == {bars}


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_error_is_raised_as_it_is(make, monkeypatch, jobs):
    def fail(self, study, fold):
        raise InputError(f"fold {fold} failed")

    monkeypatch.setattr(CrossValidation, "run_fold", fail)
    with pytest.raises(InputError, match="fold 0 failed"):
        make(jobs=jobs).run_folds(None, range(4))


def test_settings_of_a_folds_own_that_are_not_given_again_are_refused(make, tmp_path):
    given = make(fold_overrides={1: {"max_epochs": 3}}).configurations()
    assert {file.parent.name for file in given} == {tmp_path.name, "fold1"}
    make(fold_overrides={1: {"max_epochs": 3}}).keep_all(given)
    with pytest.raises(InputError, match="begun with settings of its own"):
        make().keep_all(make().configurations())


def test_a_folder_that_an_earlier_version_began_is_refused_as_that(make, tmp_path):
    write_json(tmp_path / "train.json", {"name": "unet_3d", "front": {"_target_": "pipeline.front.Front"}})
    with pytest.raises(InputError, match=r"is of a version of this project before \d"):
        make().keep_all(make().configurations())
