"""The way back to the scanner is that of interpolating every class everywhere, and costs less."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from pipeline.scans import way_back
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.way_back import axis_tables, label_on_scanner

FRONT = Front(spacing_mm=(3.1, 2.7, 5.2))
DIRECTIONS = {
    "straight": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "turned": (-1, 0, 0, 0, 0, 1, 0, 1, 0),
    "oblique": (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1),
}


def scanner(direction: str = "straight", size: tuple[int, int, int] = (50, 40, 30)) -> Geometry:
    return Geometry(size, (1.3, 1.7, 2.1), (-30.0, 12.0, 77.0), DIRECTIONS[direction])


def probabilities(grid: Geometry, classes: int = 4, background: float = 0.0) -> torch.Tensor:
    """Smooth random probabilities with many voxels where two classes are close."""
    rng = np.random.default_rng(0)
    logits = np.stack([30 * gaussian_filter(rng.standard_normal(grid.size), 2) for _ in range(classes)])
    logits[0] += background
    return torch.from_numpy(logits.astype(np.float32)).softmax(0)


def class_by_class(shares: torch.Tensor, target: Geometry) -> np.ndarray:
    """SimpleITK's interpolation of every class on the whole of the scanner's grid."""
    every = [sitk.GetArrayFromImage(FRONT.to_scanner(share.numpy(), target)) for share in shares]
    return np.stack(every).argmax(0)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("background", [-2.0, 0.0, 4.0])
def test_it_is_the_largest_of_all_classes_interpolated_everywhere(direction, background):
    target = scanner(direction)
    shares = probabilities(FRONT.grid(target), background=background)
    expected = class_by_class(shares, target)
    assert len(np.unique(expected)) > 1
    assert (label_on_scanner(shares, FRONT.grid(target), target) != expected).mean() < 1e-5


def test_channels_that_do_not_add_up_to_one_come_back_so_too():
    target = scanner()
    weighted = probabilities(FRONT.grid(target), background=2.0)
    weighted[3] *= 4
    assert (label_on_scanner(weighted, FRONT.grid(target), target) != class_by_class(weighted, target)).mean() < 1e-5


def test_only_the_box_of_what_is_not_background_is_computed(monkeypatch):
    target = scanner()
    grid = FRONT.grid(target)
    shares = torch.zeros(2, *grid.size)
    shares[0], shares[1, 5:8, 6:9, 4:6] = 0.5, 1.0
    seen = []
    winner = way_back._winner
    monkeypatch.setattr(way_back, "_winner", lambda values: seen.append(values.shape) or winner(values))
    label = label_on_scanner(shares, grid, target)
    assert np.array_equal(label, class_by_class(shares, target))
    assert sum(np.prod(shape[1:]) for shape in seen) < label.size / 10


def test_background_alone_is_all_background():
    target = scanner()
    assert not label_on_scanner(torch.ones(1, *FRONT.grid(target).size), FRONT.grid(target), target).any()


def test_a_grid_of_a_single_slice_comes_back():
    target = scanner(size=(50, 40, 1))
    shares = probabilities(FRONT.grid(target))
    assert np.array_equal(label_on_scanner(shares, FRONT.grid(target), target), class_by_class(shares, target))


def test_grids_that_are_oblique_to_each_other_are_refused():
    with pytest.raises(ValueError, match="oblique to each other"):
        axis_tables(scanner(), scanner("oblique"))
