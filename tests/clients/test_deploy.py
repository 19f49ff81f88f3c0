"""MONAI Deploy's own operator for bundles, in an environment that tools/clients_for_tests.sh makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from client_bundles import BUNDLES, bundle_maker, programs_of, told_by

pytestmark = pytest.mark.clients
OPERATOR = Path(__file__).with_name("deploy_operator.py")


@pytest.fixture(scope="module")
def sample_of(tmp_path_factory, tiny_training):
    programs_of("deploy")
    return bundle_maker(tmp_path_factory.mktemp("deploy"), tiny_training())


@pytest.mark.parametrize("model", [".", "models/model.ts"])
@pytest.mark.parametrize("network", BUNDLES)
def test_the_operator_finds_what_predict_finds(network, model, sample_of, tmp_path):
    sample, programs = sample_of(network), programs_of("deploy")
    words = [programs / "python", "-W", "ignore", OPERATOR, sample.bundle / model, sample.scan, tmp_path / "found.npy"]
    # From another folder than the bundle's
    told_by(words, tmp_path / "elsewhere")
    found = np.load(tmp_path / "found.npy")
    assert found.shape == sample.label.shape
    assert np.count_nonzero(found != sample.label) == 0
