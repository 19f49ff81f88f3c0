"""Fainter and denser lesions."""

from __future__ import annotations

import numpy as np

from transforms.random_lesion_contrast import RandomLesionContrast

LABEL = np.array([0, 1, 1, 2, 3, 4, 5, 0], np.uint8).reshape(1, 1, 8, 1, 1)
IMAGE = np.array([0.5, -0.8, -0.6, -0.7, -0.3, 0.1, 0.3, 0.2], np.float32).reshape(1, 1, 8, 1, 1)


def changed(factor, label=LABEL):
    contrast = RandomLesionContrast(factor=(factor, factor), p_per_sample=1)
    return contrast(data=IMAGE.copy(), seg=label)["data"].ravel()


def test_the_distance_of_infection_from_healthy_lung_is_multiplied_and_nothing_else_changes():
    np.testing.assert_allclose(changed(0.5), [0.5, -0.8, -0.6, -0.7, -0.5, -0.3, -0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(changed(1.5), [0.5, -0.8, -0.6, -0.7, -0.1, 0.5, 0.8, 0.2], rtol=1e-6)


def test_without_infection_or_without_healthy_lung_nothing_changes():
    for label in (np.where(LABEL > 2, 0, LABEL), np.where((LABEL == 1) | (LABEL == 2), 0, LABEL)):
        np.testing.assert_array_equal(changed(0.5, label), IMAGE.ravel())


def test_no_sample_is_changed_with_probability_0():
    found = RandomLesionContrast(p_per_sample=0)(data=IMAGE.copy(), seg=LABEL)["data"]
    np.testing.assert_array_equal(found, IMAGE)
