"""MONAI without what segmenting never uses of what it imports.

`import monai` loads every package that any part of MONAI may use, and ignite: more than half of the time until a first
scan is read. Here those that segmenting has no use for are loaded when something of them is first asked for. That is
for a process that does nothing but segment; one that trains, or a program of others, has MONAI as it is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# With all of their submodules. MONAI looks names up in some of them as it starts, of pathology, ultrasound, tables and
# TensorBoard: those it takes for not installed
UNUSED = (
    "pandas",
    "skimage",
    "sklearn",
    "scipy.signal",
    "tensorboard",
    "tensorboardX",
    "torch.utils.tensorboard",
    "matplotlib",
    "mlflow",
    "transformers",
)
# ignite tells optimizers of several processes by a class of this, which would load sympy and much of torch
OPTIMIZERS, OF_SEVERAL_PROCESSES = "torch.distributed.optim", "ZeroRedundancyOptimizer"


class _Later(ModuleType):
    """Stands for a module that is imported when a name of it is asked for, and not while MONAI is being imported."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            raise AttributeError(f"{self.__name__} is not loaded while MONAI is being imported")
        return getattr(importlib.import_module(self.__name__), name)


class _StandsForIt(MetaPathFinder, Loader):
    """Finds the modules that are unused, and loads none of them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(fullname == name or fullname.startswith(f"{name}.") for name in (*UNUSED, OPTIMIZERS)):
            return None
        # None where it is not installed, which MONAI has to know
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module, which is told its place first."""

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Later
        if module.__name__ == OPTIMIZERS:
            setattr(module, OF_SEVERAL_PROCESSES, type(OF_SEVERAL_PROCESSES, (), {}))


def import_monai() -> None:
    """Import MONAI and ignite as above; nothing where this process has MONAI already."""
    if "monai" in sys.modules:
        return
    finder = _StandsForIt()
    sys.meta_path.insert(0, finder)
    try:
        import monai  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
        _forget()


def _forget() -> None:
    """Let whoever imports such a module from now on have the module itself."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, _Later):
            del sys.modules[name]
            package, _, own = name.rpartition(".")
            if vars(sys.modules.get(package, module)).get(own) is module:
                delattr(sys.modules[package], own)
