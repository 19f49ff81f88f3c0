"""Runs of before the modules moved are refused in one sentence that names the version."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.bundle_files.earlier_version import refuse_earlier
from pipeline.core.configuration import INFERENCE, TRAIN, cascades, merged, networks
from pipeline.core.errors import InputError
from pipeline.core.stages import stages_of

FILE = Path("runs/unet_3d/cv/inference.json")


@pytest.mark.parametrize(
    "content",
    [
        {"front": {"_target_": "pipeline.front.Front"}},
        {"imports": ["$import pipeline.errors as errors"]},
        {"inferer": [{"_target_": "pipeline.inferers.MixedPrecision"}]},
        {"a": {"_target_": "transforms.find_lungs.FindLungsd"}},
    ],
)
def test_a_name_of_before_is_refused(content):
    with pytest.raises(InputError) as refused:
        refuse_earlier(content, FILE)
    assert str(FILE) in str(refused.value)
    assert f"before {version('pneumobundle')}" in str(refused.value)


@pytest.mark.parametrize("network", [*networks(), *cascades()])
def test_every_configuration_of_now_is_taken(network):
    for stage in stages_of(network):
        for workflow in (TRAIN, INFERENCE):
            refuse_earlier(merged(workflow, stage.network, "demo", {}, {}, stage.name, stage.cascade), FILE)
