"""A case is prepared once, by one of any number of processes, found again by what it was made from, and never half."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from forked import forked, status_of

from pipeline.data.cache import CaseCache
from pipeline.scans.front import Front
from pipeline.scans.scan import read_scan

FRONT = Front(spacing_mm=(1.9, 1.6, 2.4))


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_same_case_and_front_have_one_place(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    again = Front(spacing_mm=[1.9, 1.6, 2.4])
    assert CaseCache(tmp_path, FRONT).path(case) == CaseCache(tmp_path, again).path(dict(reversed(case.items())))


@pytest.mark.parametrize(
    ("setting", "value"), [("window_hu", (-1250.0, 251.0)), ("spacing_mm", (1.9, 1.6, 2.5)), ("order", 3)]
)
def test_every_setting_of_the_front_gives_another_place(tmp_path, make_cases, setting, value):
    (case,) = make_cases(tmp_path, 1)
    assert CaseCache(tmp_path, replace(FRONT, **{setting: value})).path(case) != CaseCache(tmp_path, FRONT).path(case)


def test_another_version_of_the_front_gives_another_place(tmp_path, make_cases, monkeypatch):
    (case,) = make_cases(tmp_path, 1)
    before = CaseCache(tmp_path, FRONT).path(case)
    monkeypatch.setattr("pipeline.scans.front.FRONT_VERSION", -1)
    assert CaseCache(tmp_path, FRONT).path(case) != before


@pytest.mark.parametrize("key", ["image_sha256", "label_sha256"])
def test_a_changed_file_gives_another_place(tmp_path, make_cases, key):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    assert cache.path({**case, key: "0" * 64}) != cache.path(case)


def test_a_filled_cache_is_left_alone(tmp_path, make_cases):
    cases, cache = make_cases(tmp_path, 2), CaseCache(tmp_path / "cache", FRONT)
    cache.fill(cases)
    before = {name: os.stat(tmp_path / "cache" / name) for name in contents(tmp_path / "cache")}
    cache.fill(cases)
    assert {name: os.stat(tmp_path / "cache" / name) for name in contents(tmp_path / "cache")} == before


def test_only_what_is_missing_is_prepared(tmp_path, make_cases, monkeypatch):
    cases, cache = make_cases(tmp_path, 3), CaseCache(tmp_path / "cache", FRONT)
    cache.fill(cases[:2])
    prepared = []
    monkeypatch.setattr(cache, "_prepare", prepared.append)
    cache.fill(cases)
    assert prepared == cases[2:]


def test_several_processes_share_the_work(tmp_path, make_cases):
    """Each scan is prepared by one of them, and none ends before all are there."""
    cases, cache = make_cases(tmp_path, 6), CaseCache(tmp_path / "cache", FRONT)
    lines = tmp_path / "prepared.txt"
    prepare = cache._prepare

    def noted(case: dict) -> None:
        with lines.open("a") as stream:
            stream.write(f"{case['case']}\n")
        prepare(case)

    def fill() -> None:
        cache._prepare = noted
        cache.fill(cases)
        assert all(cache.path(case).is_dir() for case in cases)

    assert [status_of(one) for one in [forked(fill, limit_s=60) for _ in range(3)]] == [0, 0, 0]
    assert sorted(lines.read_text().split()) == sorted(case["case"] for case in cases)
    assert {file.name for file in (tmp_path / "cache").iterdir()} == {cache.path(case).name for case in cases}


def test_what_a_killed_process_was_at_is_prepared_by_the_next(tmp_path, make_cases):
    cases, cache = make_cases(tmp_path, 2), CaseCache(tmp_path / "cache", FRONT)

    def killed(case: dict) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def fill() -> None:
        cache._prepare = killed
        cache.fill(cases)

    assert status_of(forked(fill, limit_s=60)) == -signal.SIGKILL
    cache.fill(cases)
    assert all(cache.path(case).is_dir() for case in cases)


@pytest.mark.parametrize("failing", ["image", "label"])
def test_a_case_that_cannot_be_written_leaves_nothing(tmp_path, make_cases, monkeypatch, failing):
    def full_disk(file: Path, voxels: np.ndarray) -> None:
        if file.stem == failing:
            raise OSError("no space left on device")
        file.touch()

    cache = CaseCache(tmp_path / "cache", FRONT)
    monkeypatch.setattr("pipeline.data.cache.np.save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        cache.fill(make_cases(tmp_path, 1))
    assert contents(tmp_path / "cache") == []


def test_a_case_that_another_process_finished_first_is_kept(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path / "cache", FRONT)
    cache.fill([case])
    before = os.stat(cache.path(case) / "image.npy")
    cache._prepare(case)
    assert os.stat(cache.path(case) / "image.npy") == before
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_image_is_kept_in_half_precision(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    cache.fill([case])
    image = cache.load(case)["image"]
    assert image.dtype == np.float16
    # float16 has 11 bits: a rounding error of 1/2048 of the value at most
    assert image == pytest.approx(FRONT.image(read_scan(case["image"]), "a"), rel=1 / 2048, abs=1e-4)


def test_the_label_is_kept_as_it_is(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    cache.fill([case])
    assert np.array_equal(cache.load(case)["label"], FRONT.label(read_scan(case["label"]))[None])


def test_image_and_label_have_one_size_when_their_headers_differ_by_rounding(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    label = sitk.ReadImage(case["label"])
    # 24 voxels of 1.19999 mm are less than 18 of 1.6 mm
    label.SetSpacing((1.19999, 1.5, 3.0))
    sitk.WriteImage(label, case["label"])
    cache = CaseCache(tmp_path, replace(FRONT, spacing_mm=(1.6, 1.6, 2.4)))
    cache.fill([case])
    assert cache.load(case)["label"].shape == cache.load(case)["image"].shape


@pytest.mark.parametrize("name", ["image", "label"])
def test_loading_maps_the_file(tmp_path, make_cases, name):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    cache.fill([case])
    assert isinstance(cache.load(case)[name], np.memmap)


def test_writing_into_a_loaded_case_does_not_change_the_file(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    cache.fill([case])
    loaded = cache.load(case)["image"]
    loaded[:] = 7
    loaded.flush()
    assert not (cache.load(case)["image"] == 7).any()


def test_the_voxels_of_each_code_are_counted_slice_by_slice(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path / "cache", FRONT)
    cache.fill([case])
    label = cache.load(case)["label"][0]
    expected = [np.bincount(label[..., number].ravel(), minlength=6).tolist() for number in range(label.shape[-1])]
    assert cache.counts(case).tolist() == expected


def test_only_the_named_slices_of_a_case_are_kept(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache, some = CaseCache(tmp_path / "cache", FRONT), {**case, "slices": [1, 5]}
    cache.fill([case, some])
    for name, array in cache.load(some).items():
        assert (array == cache.load(case)[name][..., [1, 5]]).all(), name
    assert (cache.counts(some) == cache.counts(case)[[1, 5]]).all()


def test_other_slices_of_a_case_have_another_place(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path, FRONT)
    assert len({cache.path(one) for one in (case, {**case, "slices": [1]}, {**case, "slices": [2]})}) == 3


def test_codes_of_another_meaning_have_their_own_place_and_the_same_arrays(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    label = sitk.ReadImage(case["label"])
    foreign = sitk.ChangeLabel(label, {1: 2, 2: 1, 3: 9})
    sitk.WriteImage(foreign, str(tmp_path / "foreign.nii.gz"))
    codes = {"1": "right_lung", "2": "left_lung", "9": "infection"}
    other = {**case, "label": str(tmp_path / "foreign.nii.gz"), "codes": codes}
    cache = CaseCache(tmp_path / "cache", FRONT)
    assert cache.path(other) != cache.path(case)
    cache.fill([case, other])
    assert np.array_equal(cache.load(other)["label"], cache.load(case)["label"])
