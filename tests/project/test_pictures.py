"""Pictures of the README are of synthetic scans alone."""

from __future__ import annotations

import json

import pytest

from pipeline.core.errors import InputError
from tools.pictures import check_synthetic


@pytest.fixture
def run_of(tmp_path, monkeypatch):
    """A run on scans of some hashes, in a project whose synthetic scan is `a`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "phantom").mkdir(parents=True)
    synthetic = {"cases": [{"image_sha256": "a"}]}
    (tmp_path / "data" / "phantom" / "manifest.json").write_text(json.dumps(synthetic), encoding="utf-8")

    def run(*hashes: str):
        cases = [{"case": f"case_{each}", "image_sha256": each} for each in hashes]
        (tmp_path / "datalist.json").write_text(json.dumps({"training": cases}), encoding="utf-8")
        return tmp_path

    return run


def test_a_run_on_synthetic_scans_may_be_shown(run_of):
    check_synthetic(run_of("a"))


def test_a_run_with_any_other_scan_is_refused(run_of):
    with pytest.raises(InputError, match="case_b is none of data/phantom"):
        check_synthetic(run_of("a", "b"))
