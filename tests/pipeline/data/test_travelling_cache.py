"""A filled cache and its study are all that a training needs: no scans, no SimpleITK, another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.configuration import COMMON
from pipeline.core.errors import InputError
from pipeline.core.project import ROOT
from pipeline.data.cache import CaseCache
from pipeline.phantom.dataset import write_phantom
from pipeline.scans.front import Front

WITHOUT_SIMPLEITK = "import sys; sys.modules['SimpleITK'] = None; sys.argv[0] = 'monai.bundle'; "
RUN = "from runpy import run_module; run_module('monai.bundle', run_name='__main__')"


def bundle_run(*arguments: str, before: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", before + RUN, "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def travelled(tmp_path_factory, tiny_training) -> Path:
    """A folder with a filled cache and its study, moved to where the scans are not."""
    here = tmp_path_factory.mktemp("here")
    write_phantom(here / "scans", patients=2, coarsening=3.0)
    settings = {**tiny_training(features=[4, 8, 8]), "cache_dir": str(here / "cache")}
    done = bundle_run(
        "fill_cache",
        *("--config_file", str(COMMON / "cross_validation.yaml"), "--meta_file", str(COMMON / "metadata.json")),
        *("--preset", "demo", "--folds", "2", "--dataset_dir", str(here / "scans"), "--output_dir", str(here / "cv")),
        *("--overrides", repr(str(settings))),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    node = tmp_path_factory.mktemp("node")
    for name in ("cache", "cv"):
        shutil.move(here / name, node / name)
    shutil.rmtree(here)
    return node


def trained(folder: Path, cache: Path, fold: str) -> subprocess.CompletedProcess:
    return bundle_run(
        *("--config_file", str(folder / "cv" / "train.json"), "--fold", fold, "--folds", "2"),
        *("--cache_dir", str(cache), "--output_dir", str(folder / "cv"), "--dataset_dir", str(folder / "scans")),
        before=WITHOUT_SIMPLEITK,
    )


def test_a_fold_is_trained_from_the_cache_alone(travelled):
    done = trained(travelled, travelled / "cache", "0")
    assert (travelled / "cv" / "fold0" / "model.pt").is_file(), done.stdout + done.stderr


def test_a_missing_entry_is_named_with_what_to_do(travelled, tmp_path):
    done = trained(travelled, tmp_path, "1")
    assert "is not prepared in" in done.stderr
    assert "`make cache`" in done.stderr


def test_a_scan_that_is_gone_is_named(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    Path(case["image"]).unlink()
    with pytest.raises(InputError, match="case case_0: is not prepared"):
        CaseCache(tmp_path / "cache", Front()).fill([case])


def test_an_entry_is_found_without_its_scan(tmp_path, make_cases):
    (case,) = make_cases(tmp_path, 1)
    cache = CaseCache(tmp_path / "cache", Front(spacing_mm=(1.9, 1.6, 2.4)))
    cache.fill([case])
    Path(case["image"]).unlink()
    cache.fill([case])
    assert cache.load(case)["image"].ndim == 4
