"""The command: what it needs, what it refuses, and how a series goes through the real segmenting of `make predict`."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from commands import run_command
from conftest import tiny_overrides
from exported import small_run
from node_makers import Archive, fake_segment, series, settings_of, store, until

from pipeline.core.claims import FOLDER, Claims
from pipeline.core.errors import InputError
from pipeline.folders.manifest import DONE as SEGMENTED
from pipeline.folders.manifest import manifest_file, read_manifest
from pipeline.inference.chosen_model import open_model
from pipeline.node.arrival import OUT_OF_RESOURCES
from pipeline.node.extra import check_packages
from pipeline.node.node import Node
from pipeline.node.serve import segment_of, serve
from pipeline.node.settings import Limits
from pipeline.node.spool import DONE, FAILED, QUEUED
from pipeline.prediction.batch import Batch
from pipeline.prediction.case_segmenter import CaseSegmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "cv"
    run = small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False}, folds=1)
    with open_model(run / "fold0") as opened:
        yield opened


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"a node needs the package uvicorn, .* -e '.\[node\]'"):
        check_packages()


def test_settings_are_needed(capsys):
    with pytest.raises(SystemExit) as ended:
        run_command("serve")
    assert ended.value.code == 2
    assert "SETTINGS is needed" in capsys.readouterr().err


def test_two_nodes_in_one_folder_are_refused(model, tmp_path):
    with Claims(tmp_path / FOLDER).held("node"), pytest.raises(InputError, match="where another node works; end it"):
        serve(settings_of(), model, tmp_path)


def test_a_port_that_is_taken_is_named(model, tmp_path):
    archive = Archive()
    with pytest.raises(InputError, match=f"port is {archive.port}, where nobody can listen"):
        serve(settings_of(port=archive.port), model, tmp_path)
    archive.stop()


def test_a_series_comes_back_as_segmentation_and_report(model, tmp_path):
    archive = Archive()
    results = tmp_path / "results"
    with Claims(results / FOLDER) as claims:
        segment = segment_of(Batch(CaseSegmenter(model, results, pages=False), merged=False), claims)
        node = Node(settings_of(archive.port, limits=Limits(free_disk_mb=0)), tmp_path, segment)
        with node.open():
            store(node.receiver.port, series())
            until(lambda: node.gatherer.close() or node.step())
            until(lambda: node.spool.state()[DONE])
    (case,) = node.spool.series
    assert read_manifest(manifest_file(results, case))["status"] == SEGMENTED
    assert len(archive.got) == 2
    archive.stop()


def test_a_series_at_which_three_processes_ended_is_told_as_failed(model, tmp_path, monkeypatch):
    results = tmp_path / "results"
    with Claims(results / FOLDER) as claims:
        segment = segment_of(Batch(CaseSegmenter(model, results, pages=False), merged=False), claims)
        node = Node(settings_of(limits=Limits(free_disk_mb=0)), tmp_path, segment)
        with node.open():
            store(node.receiver.port, series())
            until(lambda: node.gatherer.close() or node.spool.next())
            case = node.spool.next().case
            monkeypatch.setattr("pipeline.core.claims.Claims._is_held", lambda *_: False)
            held = [Claims(results / FOLDER).held(case) for _ in range(3)]
            for each in held:
                each.__enter__()
            node.step()
    assert node.spool.state()[FAILED] == 1
    assert node.spool.series[case][1].message.startswith("3 processes ended while they worked on it")


def test_a_full_disk_is_told_and_keeps_the_series_in_the_queue(tmp_path, monkeypatch):
    def full(item):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.node.node.WAIT_S", 0.0)
    node = Node(settings_of(limits=Limits(free_disk_mb=0)), tmp_path, full)
    with node.open():
        store(node.receiver.port, series())
        until(lambda: node.step() or node.failure)
        assert node.status().problems == ["The queue or results cannot be written (No space left on device)."]
    assert node.spool.state()[QUEUED] == 1


def test_what_is_forgotten_goes_with_its_results_also_where_a_full_disk_had_it_forgotten(tmp_path, monkeypatch):
    results = tmp_path / "results"
    node = Node(settings_of(limits=Limits(free_disk_mb=0), kept_series=0), tmp_path, fake_segment(results))
    with node.open():
        store(node.receiver.port, series())
        until(lambda: node.gatherer.close() or node.step())
        assert {file.suffix for file in results.iterdir()} == {".dcm", ".json"}
        (case,) = node.spool.series
        node.spool.done(case)
        monkeypatch.setattr(node.spool, "free_mb", lambda: -1.0)
        assert {*store(node.receiver.port, series(SeriesInstanceUID="1.2.3"))} == {OUT_OF_RESOURCES}
        node.forget()
    assert [*results.iterdir()] == []
