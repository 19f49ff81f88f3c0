"""Modes of inference: what each sets, and that all segment."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.core.configuration import COMMON, INFERENCE, MODES, load, mode_settings
from pipeline.core.errors import InputError
from pipeline.inferers.folding import BATCH_NORMS
from pipeline.inferers.precision import FoldedBatchNorms
from pipeline.inferers.windows import MirroredPieces

DECLARED = load([COMMON / f"{INFERENCE}.yaml"])
KEYS = {"mixed_precision", "fold_batch_norms", "lung_box", "one_pass", "eight_bits"}
NAMES = sorted(file.stem for file in MODES.glob("*.yaml"))


class Seen(nn.Module):
    """Gives back its input and keeps its sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(image.shape[2:]))
        return image


@pytest.mark.parametrize("mode", NAMES)
def test_a_mode_sets_what_the_configuration_declares(mode):
    assert mode_settings(mode, DECLARED).keys() == KEYS


def test_exact_takes_no_shortcut():
    assert not any(mode_settings("exact", DECLARED).values())


@pytest.mark.parametrize(("mode", "like"), [("int8", "whole"), ("int8-windows", "windows"), ("int8-fast", "fast")])
def test_eight_bits_see_what_the_other_mode_sees(mode, like):
    mine, other = mode_settings(mode, DECLARED), mode_settings(like, DECLARED)
    assert (mine["eight_bits"], other["eight_bits"]) == (True, False)
    assert [mine[key] == other[key] for key in ("lung_box", "one_pass")] == [True, True]


def test_no_mode_changes_nothing():
    assert mode_settings("", {}) == {}


def test_an_unknown_mode_is_refused():
    with pytest.raises(
        InputError, match="expected one of: auto, exact, fast, int8, int8-fast, int8-windows, whole, windows"
    ):
        mode_settings("fasst", DECLARED)


def test_a_model_from_before_modes_is_named():
    with pytest.raises(InputError, match="has no fold_batch_norms: it is from before there were modes; give MODE="):
        mode_settings("fast", {"mixed_precision": True, "eight_bits": False})


@pytest.mark.parametrize(
    ("size", "voxels", "expected"),
    [
        ((20, 16, 30), 10**6, {(32, 16, 32)}),
        ((16, 16, 60), 16 * 16 * 40, {(16, 16, 32)}),
        ((40, 40, 40), 1, {(48, 48, 16)}),
        ((16, 16, 176), 16 * 16 * 144, {(16, 16, 112)}),
    ],
    ids=["one piece", "as many as the limit asks for", "never less than one multiple", "two that repeat little"],
)
def test_pieces_are_as_few_and_then_as_short_as_the_limit_allows(size, voxels, expected):
    seen, volume = Seen(), torch.randn(1, 1, *size)
    assert torch.allclose(MirroredPieces(voxels)(volume, seen), volume, atol=1e-6)
    assert set(seen.sizes) == expected


def test_a_small_volume_is_padded_to_what_the_network_was_trained_on():
    seen = Seen()
    MirroredPieces(10**6, smallest=(32, 32, 32))(torch.randn(1, 1, 40, 20, 9), seen)
    assert seen.sizes == [(48, 32, 32)]


def test_pieces_are_no_shorter_than_what_the_network_was_trained_on():
    seen = Seen()
    MirroredPieces(16 * 16 * 96, smallest=(16, 16, 80))(torch.randn(1, 1, 16, 16, 100), seen)
    assert seen.sizes == [(16, 16, 80)] * 2


@pytest.mark.parametrize("enabled", [True, False])
def test_batch_norms_are_folded_where_that_is_asked_for(enabled):
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
    FoldedBatchNorms(lambda image, called: called(image), enabled)(torch.zeros(1, 1, 4, 4, 4), network)
    assert any(isinstance(module, BATCH_NORMS) for module in network) is not enabled
