"""MODE=auto: the fastest mode that was measured to be close enough, and `whole` in any doubt."""

from __future__ import annotations

import importlib.util
import json
import logging

import pytest
import torch
from conftest import tiny_overrides
from exported import small_run

from pipeline.core.atomic import read_json
from pipeline.core.labels import label_map
from pipeline.core.machine import instructions
from pipeline.inference import auto_mode
from pipeline.inference.auto_mode import (
    Measured,
    chosen_mode,
    fidelity_file,
    has_eight_bits,
    processor_kind,
    read_measured,
    write_measured,
)
from pipeline.inference.chosen_model import open_model
from pipeline.inference.eight_bits import eight_bits_file, write_eight_bits
from pipeline.inference.members import Member, find_members
from pipeline.scans.scan import file_sha256

LABELS = label_map("lungs_infection")
SCANS = {"a": "hash a", "b": "hash b"}


@pytest.fixture
def member(tmp_path) -> Member:
    run = small_run("unet_3d", tmp_path / "cv", {**tiny_overrides(), "mixed_precision": False}, folds=1)
    return find_members(run / "fold0")[0]


def measured(seconds: float, lung: float = 1.0, infection: float | None = 1.0, **more) -> Measured:
    """Two scans in a mode; no infection where it is None."""
    dice = {name: dict.fromkeys(SCANS, lung) for name in ("left_lung", "right_lung", "lungs")}
    found = {} if infection is None else dict.fromkeys(SCANS, infection)
    return Measured(2, dict.fromkeys(SCANS, seconds), {**dice, "infection": found}, **more)


def chosen(member: Member, **modes: Measured) -> str:
    """Of modes that were measured; `_` in a name is a dash."""
    named = {name.replace("_", "-"): mode for name, mode in modes.items()}
    write_measured(member, SCANS, {"exact": measured(9), "whole": measured(8), **named})
    return chosen_mode(member, LABELS).mode


def test_without_measurements_it_is_whole_and_the_log_says_how_to_measure(member):
    mode, why = chosen_mode(member, LABELS)
    assert mode == "whole"
    assert f"pneumobundle fidelity {member.weights.parent} measures it" in why


def test_the_fastest_that_is_close_enough_is_taken(member):
    assert chosen(member, windows=measured(3), fast=measured(2), int8_fast=measured(1, lung=0.9)) == "fast"


def test_the_reason_tells_seconds_and_dice(member):
    write_measured(member, SCANS, {"whole": measured(8), "fast": measured(2, 0.998, 0.991)})
    said = "2.0 s a scan beside 8.0 s of whole; Dice against exact: left lung 0.9980, right lung 0.9980, lungs 0.9980, "
    assert f"{said}infection 0.9910" in chosen_mode(member, LABELS).why


@pytest.mark.parametrize(("lung", "infection"), [(0.995, 1), (1, 0.98), (0.9, 0.9)])
def test_a_mode_at_a_limit_is_not_taken(lung, infection, member):
    assert chosen(member, fast=measured(1, lung, infection)) == "whole"


def test_a_mode_above_both_limits_is(member):
    assert chosen(member, fast=measured(1, 0.9951, 0.9801)) == "fast"


def test_what_exact_does_not_find_is_not_judged(member):
    assert chosen(member, fast=measured(1, infection=None)) == "fast"


def test_exact_itself_is_never_taken(member):
    write_measured(member, SCANS, {"exact": measured(1)})
    assert chosen_mode(member, LABELS).mode == "whole"


def test_another_kind_of_processor_counts_for_nothing(member, monkeypatch):
    chosen(member, fast=measured(1))
    monkeypatch.setattr(auto_mode, "processor_kind", lambda: "another one")
    assert chosen_mode(member, LABELS).mode == "whole"


def test_weights_that_were_trained_again_have_no_measurements(member):
    chosen(member, fast=measured(1))
    torch.save({name: value + 1 for name, value in torch.load(member.weights).items()}, member.weights)
    assert (read_measured(member), chosen_mode(member, LABELS).mode) == ({}, "whole")


@pytest.fixture
def eight_bits(member, monkeypatch) -> list[str]:
    """The hash of an 8-bit file that is there, with its package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    return [file_sha256(write_eight_bits(member.weights, b"", b"", {}))]


def test_eight_bits_are_taken_where_they_are_fastest(member, eight_bits):
    assert chosen(member, int8=measured(1, eight_bits_sha256=eight_bits), fast=measured(2)) == "int8"


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_bytes(b"others")])
def test_other_eight_bits_than_those_measured_count_for_nothing(change, member, eight_bits):
    change(eight_bits_file(member.weights))
    assert chosen(member, int8=measured(1, eight_bits_sha256=eight_bits), fast=measured(2)) == "fast"


def test_eight_bits_count_for_nothing_without_their_package(member, eight_bits, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert chosen(member, int8=measured(1, eight_bits_sha256=eight_bits), fast=measured(2)) == "fast"


def test_a_later_measurement_on_the_same_scans_adds_its_modes(member):
    chosen(member, fast=measured(2))
    write_measured(member, SCANS, {"windows": measured(1)})
    assert read_measured(member)[processor_kind()].keys() == {"exact", "whole", "fast", "windows"}


def test_a_measurement_on_other_scans_replaces_all(member):
    chosen(member, fast=measured(2))
    write_measured(member, {"c": "hash c"}, {"windows": measured(1)})
    assert read_measured(member)[processor_kind()].keys() == {"windows"}


def test_the_results_tell_which_mode_and_why(member, tmp_path, caplog):
    chosen(member, fast=measured(2))
    with caplog.at_level(logging.INFO), open_model(member.weights.parent, mode="auto") as model:
        assert model.facts["mode"] == "fast"
        assert model.facts["chosen"].startswith("by MODE=auto: it is the fastest that is close enough to exact: 2.0 s")
        assert model.segmenter.setting("one_pass") is True
    assert any(record.message.startswith("MODE=auto is fast: ") for record in caplog.records)


def test_a_mode_that_was_asked_for_has_no_reason(member, tmp_path):
    with open_model(member.weights.parent, mode="whole") as model:
        assert "chosen" not in model.facts


def test_an_ensemble_is_whole(tmp_path):
    run = small_run("unet_3d", tmp_path / "cv", {**tiny_overrides(), "mixed_precision": False})
    with open_model(run, mode="auto") as model:
        assert (model.facts["mode"], "these are several" in model.facts["chosen"]) == ("whole", True)


@pytest.mark.parametrize("mode", ["auto", "whole", "int8-fast", "nonsense"])
def test_three_modes_are_in_eight_bits(mode):
    assert has_eight_bits(mode) is mode.startswith("int8")


def test_a_model_from_before_eight_bits_has_the_other_modes(member, tmp_path):
    content = read_json(member.configuration)
    before = {key: value for key, value in content.items() if key not in ("eight_bits", "network_at_work")}
    text = json.dumps(before).replace("@network_at_work", "@network").replace(", eight_bits=@eight_bits", "")
    member.configuration.write_text(text)
    with open_model(member.weights.parent, mode="fast") as model:
        assert model.segmenter.setting("one_pass") is True


def test_the_kind_of_processor_is_its_name_and_its_instructions():
    assert processor_kind().rpartition(", ")[2] == instructions()


def test_measurements_lie_beside_the_model(member):
    assert fidelity_file(member) == member.weights.parent / "fidelity.json"
