"""The names of a wheel in a checkout: `pneumobundle.pipeline.x` for its module `pipeline.x`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipeline", "transforms", "evaluation")


class OfCheckout(MetaPathFinder, Loader):
    """Finds modules of a package's name in the folders of a checkout, each once under both names."""

    def __init__(self, package: str) -> None:
        self.prefix = f"{package}."
        self._own: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        inner = fullname.removeprefix(self.prefix)
        if inner == fullname or inner.partition(".")[0] not in FOLDERS:
            return None
        found = importlib.util.find_spec(inner)
        return found and ModuleSpec(
            fullname, self, origin=found.origin, is_package=found.submodule_search_locations is not None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.name.removeprefix(self.prefix))
        self._own[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has run under its own name, which importing it under this one has replaced
        if module.__spec__ is not None:
            module.__spec__ = self._own.pop(module.__spec__.name)


def serve(package: str) -> None:
    """Let the names of a package stand for a checkout's; ImportError where another program has loaded these names."""
    for name in FOLDERS:
        if name in sys.modules and not is_here(sys.modules[name].__spec__):
            raise ImportError(
                f"a module {name} is loaded that is not this project's ({sys.modules[name]}), and a checkout needs the "
                f"name for {ROOT / name}; rename the other one, or install the wheel, which needs {package} alone."
            )
    if not all(is_here(importlib.util.find_spec(name)) for name in FOLDERS):
        sys.path.insert(0, str(ROOT))
    elif str(ROOT) not in sys.path:
        # They may have been found in the current folder, which a program may leave before it asks for more of them
        sys.path.append(str(ROOT))
    sys.meta_path.insert(0, OfCheckout(package))


def is_here(spec: ModuleSpec | None) -> bool:
    """Whether a module is one of this checkout."""
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().is_relative_to(ROOT)
