"""Networks as programs of torch.export: what they answer, and which sizes they take."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from network_table import BY_BUNDLE

from pipeline.export.program import exported, forget_sources

SIDE = 96


def network(name: str) -> torch.nn.Module:
    made = BY_BUNDLE[name].small().eval()
    assert isinstance(made, torch.nn.Module)
    return made


def images(count: int, *size: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(count, 1, *size)


@pytest.mark.parametrize(
    ("name", "size", "others"),
    [
        ("unet_3d", (48, 48, 32), [(64, 32, 48), (32, 32, 32)]),
        ("small_covid_net", (SIDE, SIDE), [(64, 128), (128, 96)]),
    ],
)
def test_a_program_answers_as_the_network_does_for_images_of_other_numbers_and_sizes(name, size, others):
    eager = network(name)
    made, sizes = exported(eager, images(2, *size))
    assert sizes == f"multiples of {16 if len(size) == 3 else 32}"
    with torch.no_grad():
        for other in (size, *others):
            assert torch.allclose(made.module()(images(1, *other)), eager(images(1, *other)), atol=1e-6)


@pytest.mark.slow
def test_a_network_that_fits_one_size_alone_says_which():
    eager = network("raiu_net")
    made, sizes = exported(eager, images(2, 64, 64))
    assert sizes == "64 x 64"
    with torch.no_grad():
        assert torch.allclose(made.module()(images(3, 64, 64)), eager(images(3, 64, 64)), atol=1e-6)


class Undecided(torch.nn.Module):
    """What it does depends on what it sees, which no program can say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_no_program_can_say_is_raised():
    with pytest.raises(Exception, match="data-dependent"):
        exported(Undecided(), images(2, 64, 64))


def test_a_program_keeps_no_paths_of_the_machine_that_it_was_made_on():
    made, _ = exported(network("unet_3d"), images(2, 48, 48, 32))
    forget_sources(made)
    file = io.BytesIO()
    torch.export.save(made, file)
    with zipfile.ZipFile(file) as parts:
        assert [name for name in parts.namelist() if b".py" in parts.read(name)] == []
