"""Makers that the tests share: a tiny chest with anisotropic voxels, and data sets of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Before torch is imported: tiny tensors gain nothing from threads, and tests often share a machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import SimpleITK as sitk
from absl.logging import get_absl_handler

from pipeline.data.datalist import read_datalist
from pipeline.phantom.dataset import write_phantom

# OpenVINO loads absl, whose handler closes what it writes to when logging is set up anew, unless that is the process's
# own: it would be pytest's, for all tests to come. absl is here by TensorBoard.
get_absl_handler().python_handler.stream = sys.__stderr__

SIZE, SPACING_MM, ORIGIN_MM = (24, 20, 12), (1.2, 1.5, 3.0), (-14.0, 30.0, -200.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def chest(
    size: Sequence[int] = SIZE,
    spacing_mm: Sequence[float] = SPACING_MM,
    origin_mm: Sequence[float] = ORIGIN_MM,
    direction: Sequence[float] = IDENTITY,
    seed: int = 0,
) -> tuple[sitk.Image, sitk.Image]:
    """A scan in Hounsfield units (int16) and its label map: a body in air, two lungs, a lesion in the left one."""
    places = np.meshgrid(*((2 * np.arange(count) + 1) / count - 1 for count in size), indexing="ij")

    def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        return sum(((place - c) / r) ** 2 for place, c, r in zip(places, centre, radii, strict=True)) < 1

    right, left = ellipsoid((-0.45, 0, 0), (0.38, 0.6, 0.85)), ellipsoid((0.45, 0, 0), (0.38, 0.6, 0.85))
    lesion = ellipsoid((0.45, 0.15, 0.1), (0.28, 0.35, 0.5))
    hounsfield, codes = np.full(size, -1000.0), np.zeros(size, np.uint8)
    hounsfield[ellipsoid((0, 0, 0), (0.95, 0.85, 3))] = 40
    for structure, value, code in ((left, -850, 1), (right, -850, 2), (lesion, -200, 3)):
        hounsfield[structure], codes[structure] = value, code
    hounsfield += np.random.default_rng(seed).normal(0, 20, size)
    return tuple(placed(voxels, spacing_mm, origin_mm, direction) for voxels in (hounsfield.astype(np.int16), codes))


def placed(
    voxels: np.ndarray,
    spacing_mm: Sequence[float] = SPACING_MM,
    origin_mm: Sequence[float] = ORIGIN_MM,
    direction: Sequence[float] = IDENTITY,
) -> sitk.Image:
    """An image from an array in axis order (x, y, z)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(spacing_mm)
    image.SetOrigin(origin_mm)
    image.SetDirection(direction)
    return image


def dataset(folder: Path, patients: Sequence[str]) -> Path:
    """A data folder with a case of each entry of `patients`: case_0, case_1 and so on, each another chest."""
    for number in range(len(patients)):
        for kind, image in zip(("images", "labels"), chest(seed=number), strict=True):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(folder / kind / f"case_{number}.nii.gz"))
    cases = [{"case": f"case_{number}", "patient": patient} for number, patient in enumerate(patients)]
    (folder / "manifest.json").write_text(json.dumps({"cases": cases}))
    return folder


def entries(folder: Path, count: int) -> list[dict[str, Any]]:
    """Datalist entries with absolute paths, of as many cases written into a folder."""
    found = read_datalist(dataset(folder, [f"patient_{number}" for number in range(count)]))["training"]
    return [{**case, "image": str(folder / case["image"]), "label": str(folder / case["label"])} for case in found]


@pytest.fixture
def make_chest() -> Callable[..., tuple[sitk.Image, sitk.Image]]:
    return chest


@pytest.fixture
def make_image() -> Callable[..., sitk.Image]:
    return placed


@pytest.fixture
def write_dataset() -> Callable[[Path, Sequence[str]], Path]:
    return dataset


@pytest.fixture
def make_cases() -> Callable[[Path, int], list[dict[str, Any]]]:
    return entries


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for what trains and segments in every cross-validation of a test."""
    # Not at the top: most tests need neither, and they take seconds to import
    from bundle_runs import Bundles

    from pipeline.runs.cross_validation import CrossValidation

    made = Bundles()
    monkeypatch.setattr(CrossValidation, "bundle_run", lambda *arguments: made.run(*arguments))
    return made


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run have."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_training() -> Callable[..., dict[str, Any]]:
    return tiny_overrides


def tiny_overrides(**network_arguments: Any) -> dict[str, Any]:
    """Overrides with which a fold on a coarse phantom trains and infers in a second, on the CPU."""
    return {
        "spacing_mm": [8.0, 8.0, 10.0],
        "patch_size": [32, 32, 16],
        "slice_size": [64, 64],
        "augment_size": [40, 40, 20],
        "batch_size": 2,
        "scales": [1.0],
        "max_epochs": 2,
        "iterations_per_epoch": 2,
        "val_patches": 2,
        **{f"network_def::{name}": value for name, value in network_arguments.items()},
        "device": "$torch.device('cpu')",
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by playwright; tests that ask for it are skipped where either is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        # A container's root has no sandbox; the pages are our own
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_file(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page from the disk; `complaints` and `asked` of the page are kept."""
    contexts = []

    def opened(file: Path, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with three tiny patients in `phantom`; a module may have data of its own."""
    folder = tmp_path_factory.mktemp("data")
    write_phantom(folder / "phantom", patients=3, coarsening=4.0)
    return folder
