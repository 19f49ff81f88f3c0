"""What held-out patients tell of a result goes with a model, into a bundle too, and names nobody there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import exported_once
import numpy as np
import pytest
from exported import small_run

from evaluation.statistics.findings import SEVERITY_FILE
from pipeline.core.errors import InputError
from pipeline.core.run_files import DATALIST, FOLDS, SUMMARY_FILE
from pipeline.core.scan_traits import QUANTILES, Traits
from pipeline.core.temperature import TEMPERATURE_FILE
from pipeline.export.build import export
from pipeline.export.source import from_run
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import MEAN, VOTE
from pipeline.inference.evidence import EVIDENCE_FILE, Evidence, evidence_of, read_evidence, write_evidence
from pipeline.inference.members import find_members
from pipeline.inference.starter_model import starter_folder

STARTER_RUN = starter_folder()


@pytest.fixture(scope="module")
def known():
    """Of the starter model, which has all of it."""
    return evidence_of(find_members(STARTER_RUN), VOTE)


def shares_of(evidence):
    return [share[1:] for share in (*evidence.held_out.lungs, *evidence.held_out.worse)]


def test_a_bundle_tells_what_its_run_tells(known, tmp_path):
    write_evidence(tmp_path, known)
    read = read_evidence(tmp_path)
    assert shares_of(read) == shares_of(known)
    assert (read.held_out.whose, read.temperatures) == (known.held_out.whose, known.temperatures)
    patients = [[share.patient for share in evidence.held_out.lungs] for evidence in (known, read)]
    # Two scans of one patient are of one there too
    assert [names.index(name) for names in patients for name in names] == 2 * [
        patients[0].index(name) for name in patients[0]
    ]
    deep = len(known.familiarity.networks[0][0].deep)
    scan = [Traits.of(np.linspace(0, 1, deep), [0.1] * len(QUANTILES))]
    assert read.familiarity.flag(scan) == known.familiarity.flag(scan)


def test_no_name_and_no_hash_of_a_scan_is_in_it(known, tmp_path):
    write_evidence(tmp_path, known)
    text = (tmp_path / EVIDENCE_FILE).read_text()
    listed = json.loads((STARTER_RUN / DATALIST).read_text())["training"]
    assert listed
    for entry in listed:
        for secret in (entry["case"], entry["patient_id"], entry["image_sha256"]):
            assert f'"{secret}"' not in text


def test_of_several_temperatures_none_is_told(known, tmp_path):
    write_evidence(tmp_path, replace(known, temperatures=known.temperatures * 2))
    assert read_evidence(tmp_path).temperatures == ()


def test_of_several_temperatures_alone_there_is_no_file(known, tmp_path):
    several = Evidence(temperatures=known.temperatures * 2)
    write_evidence(tmp_path, several)
    assert list(tmp_path.iterdir()) == []
    # By which the bundle's page says whether there is one
    assert several
    assert not several.of_bundle


def test_weights_that_were_trained_again_have_none(known, tmp_path, caplog):
    weights = tmp_path / "models" / "model.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    write_evidence(tmp_path, known)
    assert read_evidence(tmp_path).temperatures == known.temperatures
    # As a program leaves it that keeps those of before
    weights.rename(weights.with_name("model_before.pt"))
    weights.write_bytes(b"others")
    assert read_evidence(tmp_path) == Evidence()
    assert "models/model.pt was trained again" in caplog.text


def test_where_nothing_is_known_there_is_no_file(tmp_path):
    write_evidence(tmp_path, Evidence())
    assert list(tmp_path.iterdir()) == []
    assert read_evidence(tmp_path) == Evidence()


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"weights": {}, "held_out": {"lungs": [[]], "worse": [], "whose": "scans"}}']
)
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / EVIDENCE_FILE).parent.mkdir()
    (tmp_path / EVIDENCE_FILE).write_text(content)
    with pytest.raises(InputError, match=r"evidence\.json: is not as it was written"):
        read_evidence(tmp_path)


def test_an_export_takes_it_along_and_the_bundle_is_opened_with_it(tmp_path):
    run = small_run("small_covid_net", tmp_path / "cv", exported_once.OVERRIDES)
    for name in (FOLDS, DATALIST, SEVERITY_FILE, SUMMARY_FILE, TEMPERATURE_FILE):
        shutil.copyfile(STARTER_RUN / name, run / name)
    bundle = export(from_run("small_covid_net", run, 1), tmp_path / "out")
    expected = evidence_of(find_members(run / "fold1"), VOTE)
    with open_model(bundle) as model:
        assert shares_of(model.evidence) == shares_of(expected) != []
        assert model.evidence.temperatures == expected.temperatures != ()
    assert EVIDENCE_FILE.as_posix() in (bundle / "docs" / "README.md").read_text()


def test_a_vote_has_no_temperature_and_a_mean_one_a_member():
    (member,) = find_members(STARTER_RUN)
    found = {method: evidence_of([member, member], method).temperatures for method in (VOTE, MEAN)}
    assert found == {VOTE: (), MEAN: evidence_of([member], VOTE).temperatures * 2}
