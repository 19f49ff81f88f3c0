"""The code that goes into a bundle: found by its imports, and relative there."""

from __future__ import annotations

import pytest

from pipeline.bundle_files.package import Module, closure, foreign_imports, module_of, relative_imports, write_package
from pipeline.core.project import ROOT


@pytest.fixture
def project(tmp_path):
    """A project of five modules, of which one is needed by nobody."""
    texts = {
        "pipeline/__init__.py": "",
        "pipeline/labels.py": "import numpy as np\n",
        "pipeline/unused.py": "import scipy\n",
        "pipeline/losses/__init__.py": "",
        "pipeline/losses/focal.py": "import math\n\nimport torch\n\nfrom pipeline.labels import NAMES\n",
        "transforms/__init__.py": "",
        "transforms/mirror.py": "def late():\n    from pipeline.losses.focal import Focal\n\n    return Focal\n",
    }
    for name, text in texts.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def written(tmp_path, name, text):
    file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return relative_imports(Module(name, file))


def test_the_module_of_a_class_is_its_file(project):
    assert module_of("pipeline.losses.focal.Focal", project).name == "pipeline.losses.focal"


def test_a_name_of_another_package_is_no_module_of_the_project(project):
    assert module_of("monai.losses.DiceLoss", project) is None


def test_imports_are_followed_also_from_within_functions(project):
    names = [module.name for module in closure(["transforms.mirror.Mirror"], project)]
    assert names == [
        "pipeline", "pipeline.labels", "pipeline.losses", "pipeline.losses.focal", "transforms", "transforms.mirror",
    ]  # fmt: skip


def test_foreign_imports_leave_the_standard_library_out(project):
    assert foreign_imports(closure(["transforms.mirror"], project)) == {"numpy", "torch"}


def test_what_torch_needs_for_tensorboard_is_told():
    assert "tensorboard" in foreign_imports(closure(["pipeline.training.history"]))


def test_an_import_becomes_relative_to_its_own_folder(tmp_path):
    assert written(tmp_path, "pipeline.losses.focal", "from pipeline.labels import A\n") == "from ..labels import A\n"


def test_an_import_from_another_top_folder_goes_up_to_the_package(tmp_path):
    text = written(tmp_path, "transforms.mirror", "from pipeline.losses.focal import A\n")
    assert text == "from ..pipeline.losses.focal import A\n"


def test_a_module_imported_from_its_own_folder_stays_a_module(tmp_path):
    assert written(tmp_path, "pipeline.networks.a", "from pipeline.networks import b\n") == "from . import b\n"


def test_an_import_under_another_name_becomes_an_import_from(tmp_path):
    assert written(tmp_path, "pipeline.a", "import pipeline.losses.b as c\n") == "from .losses import b as c\n"


def test_an_import_that_binds_the_project_itself_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.py, line 1"):
        written(tmp_path, "pipeline.a", "import pipeline.losses.b\n")


def test_farther_imports_come_first_as_isort_wants_them(tmp_path):
    text = "from evaluation.metrics import (\n    A,\n    B,\n)\nfrom pipeline.labels import C\n"
    relative = "from ..pipeline.labels import C\nfrom .metrics import (\n    A,\n    B,\n)\n"
    assert written(tmp_path, "evaluation.cases", text) == relative


def test_imports_of_other_packages_stay_as_they_are(tmp_path):
    text = "import numpy as np\nfrom monai.losses import DiceLoss\n"
    assert written(tmp_path, "pipeline.a", text) == text


def test_a_file_that_a_module_reads_beside_itself_is_copied(tmp_path):
    write_package(closure(["pipeline.data.folds"]), tmp_path / "code", "Code.")
    name = "pipeline/folders/splits/ma2020_task1.json"
    assert (tmp_path / "code" / name).read_bytes() == (ROOT / name).read_bytes()
