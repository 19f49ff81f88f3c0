"""Published numbers beside a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.report.published_numbers import bundle_of, printed_of, sources
from evaluation.report.run import Run, Stage
from evaluation.tables.paper_table import published
from pipeline.core.configuration import cascades, networks, optional_networks


def run_of(*names):
    stages = tuple(Stage("", {"name": name}) for name in names)
    return Run(Path("cv"), stages, Path("data"), {}, {}, {}, ())


@pytest.mark.parametrize("source", sources(), ids=lambda source: f"{source.table}-{source.column}")
def test_every_source_says_what_its_numbers_are_of(source):
    assert all((source.source, source.data, source.split, source.averaging))


@pytest.mark.parametrize("source", sources(), ids=lambda source: f"{source.table}-{source.column}")
def test_every_source_is_of_networks_that_have_bundles(source):
    assert {name for name, _ in published(source.table)} <= {*networks(), *cascades(), *optional_networks()}


@pytest.mark.parametrize("source", [one for one in sources() if one.column], ids=lambda source: source.column)
def test_a_column_that_holds_a_data_sets_dice_is_in_its_table(source):
    assert all(source.column in numbers for numbers in published(source.table).values())


def test_the_eamc_papers_table_gives_one_dice_a_data_set():
    found = printed_of(["amc_net"])
    assert [one.numbers for one in found] == [{"dice": 0.884}, {"dice": 0.7955}, {"dice": 0.8431}, {"dice": 0.9584}]


def test_only_the_miscnn_papers_own_numbers_are_of_the_whole_public_set():
    assert {source.table for source in sources() if source.public_20} == {"miscnn_table1.csv"}


def test_what_is_published_nowhere_has_no_numbers():
    assert printed_of(["residual_unet_3d"]) == []


def test_a_cascade_of_the_same_two_networks_is_the_bundle_that_defines_it():
    assert bundle_of(run_of("raiu_net", "raiu_net")) == "chs_net"


def test_a_cascade_that_no_bundle_defines_keeps_its_name():
    assert bundle_of(run_of("unet_3d", "enet")) == "unet_3d>enet"
