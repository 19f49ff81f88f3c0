"""A process that segments starts with no more of MONAI's packages than it uses, and has the others when it asks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline.core.light_start import UNUSED, import_monai
from pipeline.core.project import ROOT
from pneumobundle.commands import COMMANDS

LOADS = """\
import json, sys
from pipeline.core.light_start import import_monai
import_monai()
import pneumobundle.run.segmenting
found = {"loaded": sorted(sys.modules)}
import torch, monai, ignite.handlers
blobs = torch.zeros(1, 6, 6, 6)
blobs[0, :2], blobs[0, 5, 5] = 1, 1
found["largest"] = int(monai.transforms.KeepLargestConnectedComponent()(blobs).sum())
found["skimage"] = sys.modules["skimage.measure"].label is monai.transforms.utils.measure.label
import sklearn.gaussian_process, scipy.signal, pandas
found["rows"] = len(pandas.DataFrame({"a": [1, 2]}))
from torch.distributed.optim import ZeroRedundancyOptimizer
found["optimizer"] = ZeroRedundancyOptimizer.__module__
print(json.dumps(found))
"""
# And what these load, which is most of what they cost; batchgenerators and highdicom are for trainings and for DICOM
HEAVY = {*UNUSED, "scipy.stats", "sympy", "torch.distributed.fsdp", "batchgenerators.transforms", "highdicom"}


@pytest.fixture(scope="module")
def found():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_segmenting_loads_nothing_heavy_that_it_does_not_use(found):
    assert HEAVY & {*found["loaded"]} == set()
    assert {"monai", "ignite", "torch"} <= {*found["loaded"]}


def test_what_monai_was_not_given_comes_when_it_asks(found):
    assert (found["largest"], found["skimage"]) == (72, True)


def test_who_imports_it_later_has_the_package_itself(found):
    assert (found["rows"], found["optimizer"]) == (2, "torch.distributed.optim.zero_redundancy_optimizer")


def test_a_process_that_has_monai_keeps_it_as_it_is():
    before = [*sys.meta_path]
    import_monai()
    assert sys.meta_path == before


def test_it_is_for_the_commands_that_do_nothing_but_segment():
    assert [command.name for command in COMMANDS if command.only_segments] == ["predict", "serve"]
