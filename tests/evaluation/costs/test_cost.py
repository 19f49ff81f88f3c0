"""Multiplications by hand, and a table of tiny networks beside the published numbers."""

from __future__ import annotations

import csv

import pytest
import torch
from commands import run_command
from torch import nn

from evaluation.costs import cost
from evaluation.costs.cost import (
    COLUMNS,
    PUBLISHED,
    WIDTH,
    configured,
    profile,
    published,
    shown,
    table_rows,
    text,
)
from evaluation.costs.network_cost import Cost, Seconds, Subject, gmac, measure, parameters
from pipeline.core.configuration import networks
from pipeline.core.errors import InputError
from pipeline.networks.blocks import require_multiple

GIGA = 1e9


class TwoHeads(nn.Module):
    """A convolution that takes multiples of 4 pixels, and gives an auxiliary output in training."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.auxiliary = nn.Conv2d(1, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        require_multiple(x, 4)
        return [self.main(x), self.auxiliary(x)] if self.training else self.main(x)


def tiny(name: str, size: int = 8) -> Subject:
    return Subject(name, TwoHeads(), (1, size, size))


def made_up(name: str = "anam_net", passes: tuple[Seconds, ...] = (Seconds(3.0, 1.0, 9.0),)) -> Cost:
    return Cost(name, (1, 512, 512), 4_631_555, 84.154, passes)


@pytest.fixture
def tiny_networks(monkeypatch):
    """Every name stands for the tiny network."""
    monkeypatch.setattr(cost, "configured", tiny)


def test_a_convolution_multiplies_each_tap_at_each_output_pixel():
    # 8 x 6 output pixels, 3 x 3 taps, 2 channels in, 5 out
    assert gmac(nn.Conv2d(2, 5, 3, padding=1), (2, 8, 6)) * GIGA == 8 * 6 * 9 * 2 * 5


def test_a_strided_grouped_convolution_multiplies_within_its_groups():
    # 4 x 3 output pixels, 3 x 3 taps, 2 groups of 2 channels in and 3 out
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    assert gmac(layer, (4, 8, 6)) * GIGA == 4 * 3 * 9 * 2 * 2 * 3


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(4, 3, 2, 2), nn.ConvTranspose2d(4, 3, 2, 2, bias=False)])
def test_a_transposed_convolution_multiplies_each_tap_at_each_input_pixel(layer):
    # 8 x 6 input pixels, 2 x 2 taps, 4 channels in, 3 out
    assert gmac(layer, (4, 8, 6)) * GIGA == 8 * 6 * 4 * 4 * 3


def test_a_3d_convolution_is_counted_over_the_volume():
    assert gmac(nn.Conv3d(2, 3, 3, padding=1), (2, 4, 6, 8)) * GIGA == 4 * 6 * 8 * 27 * 2 * 3


def test_auxiliary_heads_are_not_counted_as_multiplications():
    assert gmac(TwoHeads(), (1, 8, 8)) * GIGA == 8 * 8 * 9 * 3


def test_counting_leaves_the_network_on_its_device():
    network = TwoHeads()
    gmac(network, (1, 8, 8))
    assert {weight.device.type for weight in network.parameters()} == {"cpu"}
    assert network.training


def test_parameters_are_weights_biases_and_norms():
    # 3 x (9 + 1) of the convolution, 2 x 3 of the norm without its running statistics, 3 x 2 of the head
    assert parameters(TwoHeads()) == 30 + 6 + 6


def test_a_mebibyte_is_262144_parameters():
    assert Cost("any", (1, 8, 8), 3 * 2**18, 0.0, ()).size_mib == 3.0


def test_the_size_of_deeplab_is_the_papers():
    assert round(Cost("deeplab_v3_plus", (1, 512, 512), 54_700_115, 0.0, ()).size_mib, 2) == 208.66


def test_seconds_are_medians_of_each_time_by_itself():
    passes = (Seconds(1.0, 9.0, 5.0), Seconds(2.0, 7.0, 4.0), Seconds(9.0, 8.0, 6.0))
    assert made_up(passes=passes).seconds() == (2.0, 8.0, 5.0)


def test_the_spread_is_that_of_the_noisiest_time():
    passes = (Seconds(1.0, 4.0, 5.0), Seconds(1.0, 5.0, 5.0), Seconds(1.0, 6.0, 5.0))
    assert made_up(passes=passes).spread() == pytest.approx((6 - 4) / 5)


def test_the_warm_up_is_no_repeat():
    (measured,) = measure([tiny("any")], repeats=2)
    assert len(measured.passes) == 2


def test_repeats_go_over_all_networks_in_turn(caplog):
    with caplog.at_level("INFO"):
        measure([tiny("one"), tiny("two")], repeats=1)
    begins = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert begins == ["one, warm-up", "two, warm-up", "one, repeat 1 of 1", "two, repeat 1 of 1"]


@pytest.mark.parametrize("weight", ["main.1.weight", "auxiliary.weight"])
def test_training_steps_move_the_weights_of_all_heads(weight):
    subject = tiny("any")
    before = subject.network.get_parameter(weight).clone()
    measure([subject], repeats=1)
    assert not torch.equal(subject.network.get_parameter(weight), before)


def test_a_size_that_a_network_refuses_is_named():
    with pytest.raises(InputError, match=r"two: does not take an input of 1x6x6 \(size .* divisible by 4 .*--size"):
        measure([tiny("one"), tiny("two", size=6)], repeats=1)


def test_no_repeats_are_refused(tiny_networks, tmp_path):
    with pytest.raises(InputError, match="--repeats is 0, expected at least 1"):
        profile(["enet"], tmp_path, repeats=0)


def test_no_pixels_are_refused(tiny_networks, tmp_path):
    with pytest.raises(InputError, match="--size is 0, expected at least 1 pixel"):
        profile(["enet"], tmp_path, size=0)


def test_an_unknown_network_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"'unet_4d', expected one of: .*unet_3d"):
        profile(["unet_4d"], tmp_path)


def test_a_3d_network_is_measured_on_its_patch_with_its_own_classes():
    with torch.device("meta"):
        subject = configured("unet_3d", size=64)
    assert subject.input_shape == (1, 160, 160, 80)
    assert parameters(subject.network) == 22_581_316


def test_a_2d_network_is_measured_on_a_slice_with_the_classes_of_table_2():
    with torch.device("meta"):
        subject = configured("anam_net", size=64)
    assert subject.input_shape == (1, 64, 64)
    assert parameters(subject.network) == 4_631_555


def test_table_2_has_the_papers_eight_networks():
    names = {row["paper_name"] for row in published().values()}
    assert names == {"U-Net", "ENet", "UNet++", "SegNet", "Attention U-Net", "LEDNet", "DeepLabV3+", "Anam-Net"}


def test_every_network_of_table_2_has_a_bundle():
    assert set(published()) <= set(networks())


def test_published_numbers_stay_as_printed():
    row = published()["deeplab_v3_plus"]
    assert [row[column] for column in PUBLISHED] == ["54.70", "208.66", "42", "895"]


def test_a_row_has_our_numbers_and_the_papers():
    (row,) = table_rows([made_up()], published())
    assert list(row) == list(COLUMNS)
    own = ["anam_net", "1x512x512", "4,631,555", "17.67", "84.15", "3.000", "1.000", "9.000"]
    assert shown(row) == [*own, "4.47", "17.21", "27", "362"]


def test_a_network_that_the_paper_lacks_has_dashes():
    (row,) = table_rows([made_up("mini_seg")], published())
    assert shown(row)[-4:] == ["-"] * 4


def test_the_text_fits_the_width():
    large = Cost("residual_unet_3d", (1, 160, 160, 80), 122_930_980, 1473.56, (Seconds(99.0, 99.0, 999.0),))
    lines = text(table_rows([large, made_up("deeplab_v3_plus")], published()), ["long remark " * 30]).splitlines()
    assert max(map(len, lines)) <= WIDTH


def test_the_table_has_a_row_for_each_network_that_is_named(tiny_networks, tmp_path):
    table = profile(["enet", "mini_seg", "enet"], tmp_path, repeats=1, size=8)
    assert [line.split()[0] for line in table.splitlines()[1:4]] == ["network", "enet", "mini_seg"]
    assert table.splitlines()[4] == ""


def test_all_networks_are_measured_where_none_is_named(tiny_networks, tmp_path):
    table = profile([], tmp_path, repeats=1, size=8)
    assert [line.split()[0] for line in table.splitlines()[2 : len(networks()) + 2]] == networks()


def test_a_network_that_needs_an_extra_is_left_out_with_a_message(tiny_networks, tmp_path, caplog):
    with caplog.at_level("INFO"):
        profile([], tmp_path, repeats=1, size=8)
    assert "mask_rcnn is left out: it needs the extra detection" in caplog.messages


def test_a_network_that_needs_an_extra_is_refused_where_it_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^NETWORKS has mask_rcnn, which needs the extra detection"):
        profile(["enet", "mask_rcnn"], tmp_path)


def test_the_csv_file_has_the_cells_of_the_table(tiny_networks, tmp_path):
    table = profile(["enet", "mini_seg"], tmp_path, repeats=1, size=8)
    with (tmp_path / "profile.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [shown(row) for row in rows] == [line.split() for line in table.splitlines()[2:4]]


def test_the_markdown_file_has_the_cells_of_the_table(tiny_networks, tmp_path):
    table = profile(["enet", "mini_seg"], tmp_path, repeats=1, size=8)
    lines = [line for line in (tmp_path / "profile.md").read_text().splitlines() if line.startswith("|")]
    assert [line.strip("| ").split(" | ") for line in lines[2:]] == [line.split() for line in table.splitlines()[2:4]]


def test_a_single_repeat_does_not_claim_to_have_no_spread(tiny_networks, tmp_path):
    assert "Repeats differ" not in profile(["enet"], tmp_path, repeats=1, size=8)
    assert "Repeats differ" in profile(["enet"], tmp_path, repeats=2, size=8)


@pytest.mark.parametrize("said", ["torch threads", f"torch {torch.__version__}", "Quadro RTX 8000", "3 classes"])
def test_the_output_says_how_it_was_measured(tiny_networks, tmp_path, said):
    assert said in " ".join(profile(["enet"], tmp_path, repeats=1, size=8).split())


def test_the_command_takes_names_with_spaces_between_them(monkeypatch, capsys):
    monkeypatch.setattr("pneumobundle.run.looking.measure_costs", lambda *given: str(given))
    monkeypatch.setattr("pneumobundle.run.looking.keep_allocations", lambda: True)
    run_command("profile", "--networks", "anam_net enet", "--out", "there")
    run_command("profile", "anam_net", "enet")
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second) == ("(['anam_net', 'enet'], 'there')", "(['anam_net', 'enet'], 'runs/profile')")
