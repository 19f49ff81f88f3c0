"""The long names of modules in a checkout, and what happens beside another program's modules of the short ones."""

from __future__ import annotations

import importlib
import pydoc
import subprocess
import sys
from pathlib import Path

import pipeline.core.errors
from pipeline.core.project import ROOT


def ended(code: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in a folder, which finds the checkout as an editable installation does: last."""
    late = f"import sys; sys.path.append({str(ROOT)!r}); {code}"
    command = [sys.executable, *options, "-c", late]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_a_module_is_the_same_under_both_names():
    long = importlib.import_module("pneumobundle.pipeline.core.errors")
    assert long is pipeline.core.errors
    assert long.__spec__.name == long.__name__ == "pipeline.core.errors"


def test_a_class_is_found_by_the_name_that_configurations_have():
    found = pydoc.locate("pneumobundle.pipeline.core.errors.InputError")
    assert found is pipeline.core.errors.InputError


def test_a_name_that_there_is_not_is_none_of_ours():
    assert pydoc.locate("pneumobundle.pipeline.core.nothing") is None


def test_a_foreign_file_of_our_name_in_the_current_folder_is_passed_over(tmp_path):
    (tmp_path / "pipeline.py").write_text("raise SystemExit('foreign')")
    done = ended("import pneumobundle, pipeline; print(pipeline.__file__)", tmp_path)
    assert done.stdout.strip() == str(ROOT / "pipeline" / "__init__.py"), done.stderr


def test_a_foreign_module_of_our_name_that_is_loaded_already_is_told(tmp_path):
    (tmp_path / "transforms.py").touch()
    done = ended("import transforms, pneumobundle", tmp_path)
    assert done.returncode == 1
    assert "ImportError: a module transforms is loaded that is not this project's" in done.stderr
    assert "install the wheel" in done.stderr
