"""What setup.cfg cannot say: in a wheel the folders of the checkout lie within the package `pneumobundle`.

So a wheel needs no name but that one. Its modules import one another relatively, as those of an exported bundle do, and
by the same code.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

# These need no packages
from pipeline.bundle_files.package import Module, relative_imports  # noqa: E402
from pipeline.core.commit import BUILT_FROM, commit  # noqa: E402
from pipeline.core.project import FOLDERS, PROJECT  # noqa: E402

# Whose places the program looks for from its own folder
BESIDE = ("LICENSE",)


class BuildPy(build_py):
    """Copies the packages, then makes of the copies what runs without the checkout."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        # Or what an earlier build left there would be in this wheel too
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        package = Path(self.build_lib) / PROJECT
        for file in sorted(package.rglob("*.py")):
            inner = file.relative_to(package).with_suffix("").parts
            module = Module(".".join(inner[:-1] if inner[-1] == "__init__" else inner), file)
            file.write_text(relative_imports(module), encoding="utf-8")
        for folder in ("bundles", "models"):
            shutil.copytree(ROOT / folder, package / folder, dirs_exist_ok=True)
        for name in BESIDE:
            shutil.copyfile(ROOT / name, package / name)
        (package / BUILT_FROM).write_text(commit() or "", encoding="utf-8")


setup(
    packages=[
        *find_packages(include=[f"{PROJECT}*"]),
        *(f"{PROJECT}.{name}" for name in find_packages(include=[f"{folder}*" for folder in FOLDERS])),
    ],
    package_dir={f"{PROJECT}.{folder}": folder for folder in FOLDERS},
    cmdclass={"build_py": BuildPy},
)
