"""What the README says is so."""

from __future__ import annotations

import re
import subprocess

import pytest
from monai.bundle import ConfigParser

from pipeline.core.configuration import ROOT, TRAIN, cascades, merged, networks, presets

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z][a-z_-]*):", MAKEFILE, flags=re.MULTILINE)


def table_row(name: str) -> list[str]:
    """The cells of the README's table row that begins with `name` in backquotes."""
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}`")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", cell)]


@pytest.mark.parametrize("text", [README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")])
def test_every_make_target_that_is_named_exists(text):
    named = set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)) | set(re.findall(r"`make ([a-z-]+)", text))
    assert named
    assert named <= set(TARGETS)


def test_make_help_has_a_line_for_every_target():
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert set(re.findall(r"^  make (\S+)  +\S", shown, flags=re.MULTILINE)) == set(TARGETS)


@pytest.mark.parametrize("preset", presets())
def test_the_table_of_presets_has_the_configured_numbers(preset):
    content = merged(TRAIN, "unet_3d", preset, {}, {})
    _, _, spacing, patch, steps, network = table_row(preset)
    assert numbers(spacing) == content["spacing_mm"]
    assert numbers(patch) == content["patch_size"]
    assert numbers(steps) == [content["max_epochs"] * content["iterations_per_epoch"]]
    assert numbers(network)[0] == content["network_def"].get("features", [32])[0]


@pytest.mark.parametrize("network", networks())
def test_the_table_of_networks_has_the_parameter_counts(network):
    definition = ConfigParser(merged(TRAIN, network, "paper", {}, {})).get_parsed_content("network_def")
    assert numbers(table_row(network)[-1]) == [sum(weight.numel() for weight in definition.parameters())]


def test_every_file_that_the_readme_lists_exists():
    listed = re.findall(r"`((?:pipeline|bundles|transforms|evaluation)/[\w./]*)`", README)
    assert listed
    assert [path for path in listed if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("cascade", cascades())
def test_the_readme_names_every_cascade(cascade):
    assert f"make cv NETWORK={cascade}" in README
