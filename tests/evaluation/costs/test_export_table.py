"""Tables of exported networks beside the published one."""

from __future__ import annotations

import csv
import json
import math

import pytest

from evaluation.costs.cost import published as printed_costs
from evaluation.costs.export_table import (
    TABLE_III,
    Exported,
    dice_changes,
    dice_table,
    format_table,
    markdown,
    paper_lines,
    signed,
    text,
    write_tables,
)
from evaluation.tables.paper_table import published

EAGER = Exported("eager float32", "", 18.5, 0.2, 0.1, 0.0, 0.0, {"lungs": 0.9, "infection": 0.5})
INT8 = Exported("onnx-int8", "anam_net_int8.onnx", 4.7, 0.1, 0.05, 0.21, 0.0123, {"lungs": 0.89, "infection": math.nan})


def test_a_change_is_to_the_network_itself():
    assert dice_changes(INT8, EAGER)["lungs"] == pytest.approx(-0.01)


def test_an_undefined_dice_has_no_change():
    assert dice_table([EAGER, INT8])[2] == ["onnx-int8", "0.890", "-0.0100", "-", "-"]


@pytest.mark.parametrize(("value", "shown"), [(0.01, "+0.0100"), (-0.25, "-0.2500"), (math.nan, "-")])
def test_a_change_is_written_with_its_sign(value, shown):
    assert signed(value) == shown


def test_sizes_times_and_parity_stand_in_one_row():
    row = ["onnx-int8", "anam_net_int8.onnx", "4.70", "0.1000", "0.0500", "2.1e-01", "1.230%"]
    assert format_table([EAGER, INT8], 2)[2] == row


def test_the_papers_devices_have_their_seconds_beside_parameters_and_size():
    assert ["Raspberry Pi 4", "Anam-Net", "4.47", "17.21", "23.3", "4", "50"] in paper_lines()


def test_the_papers_networks_are_those_of_its_other_table():
    assert {network for network, _ in published(TABLE_III)} <= printed_costs().keys()


def test_without_labels_there_is_no_table_of_dice():
    plain = Exported("onnx", "enet.onnx", 1.4, 0.1, 0.1, 0.0, 0.0, {})
    assert "Dice" not in text("enet", [plain], 2, []).split("The Anam-Net paper's devices")[0]


def test_the_page_has_a_line_a_format():
    assert "| onnx-int8 | anam_net_int8.onnx | 4.70 |" in markdown("anam_net", [EAGER, INT8], 2, ["a note"])


@pytest.fixture
def folder(tmp_path):
    write_tables(tmp_path, "anam_net", [EAGER, INT8], 2, ["a note"], {"network": "anam_net"})
    return tmp_path


def test_the_csv_has_all_digits_and_empty_cells_for_what_is_undefined(folder):
    with (folder / "export.csv").open(newline="") as stream:
        _, row = csv.DictReader(stream)
    assert (row["changed_share"], row["dice_infection"]) == ("0.0123", "")


def test_the_json_has_null_for_what_is_undefined(folder):
    assert json.loads((folder / "export.json").read_text())["formats"][1]["dice_infection"] is None
