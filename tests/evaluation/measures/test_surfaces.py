"""Surface distances of boxes, where each can be worked out, and against brute force and MONAI on uneven spacings."""

import itertools
import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice

from evaluation.measures.surfaces import SURFACE_METRICS, TOLERANCE_MM, SurfaceDistances, surface_scores
from pipeline.core.labels import LABEL_MAPS

SPACINGS_MM = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (0.8, 1.3, 5.0)]
SHAPE = (9, 12, 14)


def box(*sides, shape=SHAPE):
    """A mask with a box from the first to before the last of each axis' two numbers."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


REFERENCE, PREDICTION, EMPTY = box((2, 6), (3, 9), (2, 8)), box((3, 8), (1, 8), (4, 12)), box((0, 0), (0, 0), (0, 0))


def box_elements(mask, spacing_mm):
    """By loops: positions (N, 3) and areas (N,) of the surface elements of a box of two voxels or more a side."""
    x, y, z = spacing_mm
    flat = {0: y * z, 1: x * z, 2: x * y}
    bevel = {0: x * math.hypot(y, z) / 2, 1: y * math.hypot(x, z) / 2, 2: z * math.hypot(x, y) / 2}
    corner = math.sqrt((y * z) ** 2 + (x * z) ** 2 + (x * y) ** 2) / 8
    padded, points, areas = np.pad(mask, 1), [], []
    for place in itertools.product(*(range(side + 1) for side in mask.shape)):
        around = np.argwhere(padded[tuple(slice(start, start + 2) for start in place)])
        if len(around) in (0, 8):
            continue
        (still,) = np.nonzero(np.ptp(around, axis=0) == 0) if len(around) == 4 else ([None],)
        (along,) = np.nonzero(np.ptp(around, axis=0) == 1) if len(around) == 2 else ([None],)
        areas.append({4: flat.get(still[0]), 2: bevel.get(along[0]), 1: corner}[len(around)])
        points.append(np.array(place) * spacing_mm)
    return np.array(points), np.array(areas)


def brute_force(reference, prediction, spacing_mm, tolerance_mm):
    (here, here_mm2), (there, there_mm2) = (box_elements(mask, spacing_mm) for mask in (reference, prediction))
    apart = np.linalg.norm(here[:, None] - there[None], axis=-1)
    directed = [(apart.min(axis=1), here_mm2), (apart.min(axis=0), there_mm2)]
    area = here_mm2.sum() + there_mm2.sum()
    return {
        "surface_dice": sum(areas[mm <= tolerance_mm].sum() for mm, areas in directed) / area,
        "hd95_mm": max(
            min(limit for limit in mm if areas[mm <= limit].sum() >= 0.95 * areas.sum()) for mm, areas in directed
        ),
        "mean_distance_mm": sum((mm * areas).sum() for mm, areas in directed) / area,
    }


def blobs(seed, density=0.3):
    return np.random.default_rng(seed).random(SHAPE) < density


def box_area_mm2(voxels, spacing_mm):
    """Of a box with bevelled edges and cut corners, half a voxel beyond its outermost voxel centres."""
    (a, b, c), (x, y, z) = (np.subtract(voxels, 1) * spacing_mm), spacing_mm
    edges = a * math.hypot(y, z) + b * math.hypot(x, z) + c * math.hypot(x, y)
    corners = math.sqrt((y * z) ** 2 + (x * z) ** 2 + (x * y) ** 2)
    return 2 * (a * b + a * c + b * c) + 2 * edges + corners


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_the_area_of_a_box_is_that_of_geometry(spacing_mm):
    areas = SurfaceDistances.of(REFERENCE, EMPTY, spacing_mm).reference_mm2
    assert areas.sum() == pytest.approx(box_area_mm2((4, 6, 6), spacing_mm))


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_all_metrics_agree_with_brute_force(spacing_mm):
    expected = brute_force(REFERENCE, PREDICTION, spacing_mm, 1.7)
    assert surface_scores(REFERENCE, PREDICTION, spacing_mm, 1.7) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_surface_dice_agrees_with_monai(spacing_mm):
    reference, prediction = blobs(1), blobs(2, density=0.1)
    pair = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
    theirs = compute_surface_dice(
        *pair, class_thresholds=[1.05], include_background=True, spacing=spacing_mm, use_subvoxels=True
    )
    ours = SurfaceDistances.of(reference, prediction, spacing_mm).surface_dice(1.05)
    assert ours == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_the_order_of_the_axes_does_not_matter(axes):
    spacing_mm = np.array((0.8, 1.3, 5.0))
    turned = surface_scores(blobs(1).transpose(axes), blobs(2).transpose(axes), spacing_mm[list(axes)], 1.0)
    assert turned == pytest.approx(surface_scores(blobs(1), blobs(2), spacing_mm, 1.0))


def test_reference_and_prediction_may_be_exchanged():
    scores = surface_scores(PREDICTION, REFERENCE, (3.0, 0.7, 0.7), 1.0)
    assert scores == pytest.approx(surface_scores(REFERENCE, PREDICTION, (3.0, 0.7, 0.7), 1.0))


def test_background_around_changes_nothing():
    spacing_mm, wide = (3.0, 0.7, 0.7), ((4, 0), (1, 9), (0, 3))
    padded = surface_scores(np.pad(REFERENCE, wide), np.pad(PREDICTION, wide), spacing_mm, 1.0)
    assert padded == surface_scores(REFERENCE, PREDICTION, spacing_mm, 1.0)


def test_a_mask_with_itself_is_perfect():
    perfect = {"surface_dice": 1.0, "hd95_mm": 0.0, "mean_distance_mm": 0.0}
    assert surface_scores(blobs(3), blobs(3), (3.0, 0.7, 0.7), 1.0) == perfect


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        pytest.param(EMPTY, EMPTY, (math.nan, math.nan, math.nan), id="both empty"),
        pytest.param(EMPTY, PREDICTION, (0, math.inf, math.inf), id="reference empty"),
        pytest.param(REFERENCE, EMPTY, (0, math.inf, math.inf), id="prediction empty"),
        pytest.param(REFERENCE, REFERENCE, (1, 0, 0), id="neither empty"),
    ],
)
def test_scores_of_empty_masks(reference, prediction, expected):
    scores = surface_scores(reference, prediction, (3.0, 0.7, 0.7), 1.0)
    assert [scores[name] for name in SURFACE_METRICS] == pytest.approx(expected, nan_ok=True)


def test_a_far_speck_moves_the_mean_but_not_the_95th_percentile():
    shape = (12, 12, 40)
    big, speck = box((1, 11), (1, 11), (1, 11), shape=shape), box((5, 6), (5, 6), (38, 39), shape=shape)
    distances = SurfaceDistances.of(big, big | speck, (1, 1, 1))
    assert distances.hd95_mm == 0
    assert distances.mean_distance_mm > 0


def test_the_rounding_of_a_header_does_not_decide():
    # 5 slices of 0.6 mm are 3.0000001 mm where the spacing was kept in 32 bits
    spacing_mm = (float(np.float32(0.6)), 1.0, 1.0)
    plates = [box((start, start + 2), (1, 19), (1, 19), shape=(12, 20, 20)) for start in (2, 7)]
    assert SurfaceDistances.of(*plates, spacing_mm).surface_dice(3.0) == 1


def test_a_cut_at_the_end_of_the_volume_is_surface():
    reference = box((0, 9), (2, 6), (2, 6))
    distances = SurfaceDistances.of(reference, reference, SPACINGS_MM[1])
    assert distances.reference_mm2.sum() == pytest.approx(box_area_mm2((9, 4, 4), SPACINGS_MM[1]))


def test_a_single_slice_is_measured_along_its_contour():
    square = box((0, 1), (2, 6), (3, 5), shape=(1, 12, 14))
    contour_mm = SurfaceDistances.of(square, square, (5.0, 0.8, 1.3)).reference_mm2.sum()
    assert contour_mm == pytest.approx(2 * 3 * 0.8 + 2 * 1 * 1.3 + 4 * math.hypot(0.8, 1.3) / 2)


def test_a_single_slice_and_a_plain_image_score_the_same():
    reference, prediction = REFERENCE[4], PREDICTION[4]
    flat = surface_scores(reference, prediction, (0.8, 1.3), 1.0)
    assert surface_scores(reference[None], prediction[None], (5.0, 0.8, 1.3), 1.0) == flat


def test_a_mask_in_one_slice_of_a_volume_keeps_its_three_dimensions():
    thin = box((4, 5), (2, 6), (2, 6))
    areas = SurfaceDistances.of(thin, thin, (1, 1, 1)).reference_mm2
    assert areas.sum() == pytest.approx(box_area_mm2((1, 4, 4), (1, 1, 1)))


def test_every_structure_has_a_tolerance():
    assert set(TOLERANCE_MM) == {name for chosen in LABEL_MAPS.values() for name in chosen.structures}


@pytest.mark.parametrize(
    ("reference", "prediction", "spacing_mm", "message"),
    [
        (REFERENCE, PREDICTION.T, (1, 1, 1), r"\(9, 12, 14\).*\(14, 12, 9\)"),
        (REFERENCE.astype(np.uint8), PREDICTION, (1, 1, 1), "reference is uint8"),
        (REFERENCE, PREDICTION, (1, 1), "one number for each of 3 axes"),
        (REFERENCE[:1, :1], PREDICTION[:1, :1], (1, 1, 1), "two or three axes"),
    ],
)
def test_what_cannot_be_measured_is_named(reference, prediction, spacing_mm, message):
    with pytest.raises(ValueError, match=message):
        SurfaceDistances.of(reference, prediction, spacing_mm)
