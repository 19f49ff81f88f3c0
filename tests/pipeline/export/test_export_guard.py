"""The process that checks a bundle sees nothing but the packages that the bundle names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys

import pytest

from pipeline.export import standalone


@pytest.fixture
def guarded(monkeypatch):
    """Hides the project, and scipy, from new imports."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("evaluation", "scipy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [standalone.Guard({"evaluation", "scipy"}, list(sys.meta_path))])


@pytest.mark.parametrize("name", ["evaluation.measures.metrics", "scipy"])
def test_a_hidden_package_cannot_be_imported(guarded, name):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_who_asks_for_a_hidden_package_is_told_that_there_is_none(guarded):
    assert importlib.util.find_spec("scipy") is None


def test_other_packages_and_their_versions_are_found(guarded):
    assert importlib.util.find_spec("torch") is not None
    assert importlib.metadata.version("torch")


def test_what_a_named_package_requires_is_not_hidden():
    named = {"required_packages_version": {"tensorboard": "2"}}
    hidden = standalone.refused_packages(named)
    assert {"pipeline", "transforms", "evaluation", "pytest"} <= hidden
    assert not {"torch", "numpy", "google", "markdown", "typing_extensions"} & hidden
