"""The packages that a node needs beside those of this project."""

from __future__ import annotations

import importlib

from pipeline.core.errors import InputError

PACKAGES = ("pynetdicom", "starlette", "uvicorn")


def check_packages() -> None:
    """InputError that says how to install them where one is missing."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"a node needs the package {name}, which cannot be loaded here ({error}); install it with: "
                "python -m pip install -c constraints.txt -e '.[node]'"
            ) from error
