"""What a machine lacks is told before a training begins, and before a cluster's queue is entered."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from pipeline.core.configuration import TRAIN, merged
from pipeline.core.errors import InputError
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.launch import bytes_needed
from pipeline.runs.preflight import (
    NEEDS_CUDA,
    bytes_of_training,
    check_build,
    check_machine,
    memory_of_training,
    step_bytes,
)
from pipeline.runs.units import Unit

CPU = torch.device("cpu")


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes every disk has free."""

    def given(size: float) -> None:
        usage = namedtuple("usage", "free")(size)
        monkeypatch.setattr("shutil.disk_usage", lambda place: usage)

    return given


class Thousand(torch.nn.Module):
    """1000 weights, and a layer that hands on 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = torch.nn.Linear(919, 1), torch.nn.Conv3d(1, 8, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, image):
        return self.conv(image)


def check(folder, workers=0):
    # 1000 weights of 4 bytes; a batch of 2 x 32 x 32 x 16 voxels
    check_machine(folder, Thousand(), CPU, workers, 2, (32, 32, 16), 1, 4)


def test_a_disk_with_room_for_all_checkpoints_will_do(free, tmp_path):
    free(40_000)
    check(tmp_path)


def test_a_full_disk_is_told_with_what_is_needed(free, tmp_path):
    free(39_999)
    with pytest.raises(InputError, match=r"not/there: its disk has 0 MB free, but .* choose another OUT"):
        check(tmp_path / "not" / "there")


def test_what_is_written_already_needs_no_more_room(free, tmp_path):
    (tmp_path / "last.pt").write_bytes(bytes(12_000))
    free(28_000)
    check(tmp_path)


def test_workers_need_shared_memory(free, tmp_path):
    free(600_000)
    check(tmp_path, workers=1)
    with pytest.raises(InputError, match="--shm-size"):
        check(tmp_path, workers=2)


def test_a_step_holds_weights_gradients_moments_and_what_the_layers_hand_on():
    assert step_bytes(Thousand(), (2, 1, 32, 32, 16), 4) == 4 * 4000 + 2 * 8 * 32 * 32 * 16 * 4


def test_a_slice_is_seen_without_its_third_axis():
    network = torch.nn.Conv2d(1, 3, 1, bias=False)
    assert step_bytes(network, (5, 1, 64, 32, 1), 2) == 4 * 12 + 5 * 3 * 64 * 32 * 2


def test_too_little_memory_is_told_with_what_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    with pytest.raises(InputError, match=r"takes 1 MB of memory at least, .* there are 1 MB; ask for more \(MEM="):
        check(tmp_path)


def test_the_papers_network_needs_gigabytes():
    configuration = merged(TRAIN, "unet_3d", "paper", {"device": "$torch.device('cpu')", "mixed_precision": False}, {})
    assert 6e9 < memory_of_training(configuration) < 8e9


def test_a_job_that_asked_for_a_gpu_does_not_train_without(monkeypatch, tmp_path):
    monkeypatch.setenv(NEEDS_CUDA, "1")
    with pytest.raises(InputError, match="GRES asked for a GPU"):
        check(tmp_path)


@pytest.mark.parametrize("gres", [None, "", "disk:1"])
def test_without_a_gpu_any_build_of_torch_will_do(gres, monkeypatch):
    monkeypatch.setattr("torch.version.cuda", None)
    check_build(gres)


def test_a_build_for_cpus_is_refused_where_a_gpu_is_asked_for(monkeypatch):
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(InputError, match="is a build for CPUs"):
        check_build("gpu:1")


def test_the_weights_of_the_papers_network_are_counted():
    # 22,581,316 parameters, and the running means of its normalisations
    assert 90.3e6 < bytes_of_training(merged(TRAIN, "unet_3d", "paper", {}, {})) < 90.6e6


def test_of_many_units_those_that_run_at_once_write(monkeypatch, write_dataset, tmp_path):
    data = write_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    training = CrossValidation("unet_3d", str(data), 2, "demo", str(tmp_path / "cv"))
    training.prepare()
    monkeypatch.setattr("pipeline.runs.launch.bytes_of_training", lambda configuration: 10)
    units = [Unit(str(tmp_path / "cv"), fold) for fold in range(2)]
    assert [bytes_needed(units, at_once) for at_once in (1, 2)] == [2 * 10 + 90, 2 * 10 + 2 * 90]
