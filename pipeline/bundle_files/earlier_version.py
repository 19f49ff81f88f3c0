"""Configurations of runs that an earlier version of this project began, whose code had other names."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.bundle_files.package import module_of, names_in
from pipeline.core.errors import InputError
from pipeline.core.project import PROJECT, inner_name


def refuse_earlier(content: Any, file: Path) -> None:
    """Raise InputError where the configuration of a run names code of this project that it does not have by now."""
    if unknown := next((name for name in names_in(content) if not _is_there(name)), ""):
        raise InputError(
            f"{file}: is of a version of this project before {version(PROJECT)}, in which {unknown} has another "
            "name; train again into another folder, or use the version that it was trained with."
        )


def _is_there(name: str) -> bool:
    """Whether a dotted name is of a module, or of something within one; packages hold nothing but modules here."""
    module, name = module_of(name), inner_name(name)
    if module is None:
        return False
    return module.name == name or (module.file.name != "__init__.py" and module.name == name.rpartition(".")[0])
