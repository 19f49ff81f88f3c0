"""A scan that is sent to a real Orthanc comes back as segmentation, report and contours, as `make predict` has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

import SimpleITK as sitk
from conftest import chest
from dicom_makers import REAL, VERIFIER, classic, compress, enhanced, errors, write
from node_makers import associate, free_port, until
from orthanc_server import NEEDED, Orthanc, storescu
from pydicom.uid import JPEGLosslessSV1

from pipeline.core.project import ROOT
from pipeline.inference.starter_model import starter_model
from pipeline.prediction.predict import predict
from pipeline.scans.dicom.segmentation import read_segmentation
from pipeline.scans.dicom.series import find_series

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not NEEDED, reason="apt-get install orthanc orthanc-dicomweb dcmtk"),
]
SETTINGS = """
aet: PNEUMO
port: {port}
quiet_s: 1
retry_s: 1
rtstruct: true
limits: {{free_disk_mb: 0}}
peers:
  {peers}
web: {{port: {web}, send_to: [ORTHANC]}}
"""
BY_C_STORE = "ORTHANC: {{host: 127.0.0.1, port: {port}, may_send: true}}"
BY_STOW = """ORTHANC: {{host: 127.0.0.1, port: {port}, may_send: true, send_to: [WEB]}}
  WEB: {{url: "http://127.0.0.1:{http}/dicom-web/studies"}}"""


def node_of(folder: Path, orthanc: Orthanc, port: int, peers: str) -> subprocess.Popen:
    settings = folder / "node.yaml"
    peers = peers.format(port=orthanc.port, http=orthanc.http)
    settings.write_text(SETTINGS.format(port=port, peers=peers, web=free_port()))
    words = [sys.executable, "-m", "pneumobundle", "serve", str(settings), "--out", str(folder / "out"), "--no-pages"]
    return subprocess.Popen(words, cwd=ROOT)


@pytest.fixture(scope="module", params=[BY_C_STORE, BY_STOW], ids=["C-STORE", "STOW-RS"])
def both(request, tmp_path_factory):
    """An Orthanc, with a node that sends back to it."""
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    orthanc = Orthanc(folder, port)
    node = node_of(folder, orthanc, port, request.param)
    # An Orthanc without a heartbeat would try again with the next object alone
    until(lambda: listens(port), 300)
    yield orthanc
    node.terminate()
    assert node.wait(timeout=60) == 128 + 15
    orthanc.stop()


def listens(port: int) -> bool:
    association = associate(port, "ORTHANC", "PNEUMO")
    if association.is_established:
        association.release()
        return True
    return False


def returned(orthanc: Orthanc, folder: Path, source: Path) -> list[Path]:
    """Segmentation, report and structure set of the series of a folder, after it was sent to Orthanc."""
    storescu(source, orthanc.port, "ORTHANC")
    return came_back(orthanc, folder, source)


def came_back(orthanc: Orthanc, folder: Path, source: Path) -> list[Path]:
    (series,) = find_series(source)
    study = {"StudyInstanceUID": series.study_uid}
    until(lambda: orthanc.instances("RTSTRUCT", **study), 300)
    return [
        orthanc.fetch(instance, folder / f"{modality}.dcm")
        for modality in ("SEG", "SR", "RTSTRUCT")
        for instance in orthanc.instances(modality, **study)
    ]


def check(orthanc: Orthanc, tmp_path: Path, source: Path) -> None:
    segmentation, *others = returned(orthanc, tmp_path, source)
    (manifest,) = predict(str(starter_model()), source, tmp_path / "out", pages=False)
    expected = sitk.ReadImage(str(tmp_path / "out" / f"{manifest['case']}.nii.gz"))
    (series,) = find_series(source)
    found = read_segmentation(segmentation, series)
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
    if VERIFIER:
        assert [errors(file) for file in (segmentation, *others)] == [[], [], []]


def volume(size=(64, 56, 24), spacing_mm=(5.0, 5.0, 10.0)) -> sitk.Image:
    return chest(size, spacing_mm)[0]


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real series in {REAL}")
def test_a_real_series_comes_back_as_predict_has_it(both, tmp_path):
    check(both, tmp_path, REAL)


def test_a_synthetic_series_comes_back_as_predict_has_it(both, tmp_path):
    write(classic(volume()), tmp_path / "in")
    check(both, tmp_path, tmp_path / "in")


def test_a_compressed_series_comes_back_as_predict_has_it(both, tmp_path):
    slices = classic(volume())
    for each in slices:
        compress(each, JPEGLosslessSV1)
    write(slices, tmp_path / "in")
    check(both, tmp_path, tmp_path / "in")


def test_an_enhanced_series_comes_back_as_predict_has_it(both, tmp_path):
    write([enhanced(volume())], tmp_path / "in")
    check(both, tmp_path, tmp_path / "in")


def test_an_orthanc_that_was_killed_sends_what_it_had_not_and_nothing_else(both, tmp_path):
    for name in ("sent", "stored"):
        write(classic(volume()), tmp_path / name)
    returned(both, tmp_path, tmp_path / "sent")
    storescu(tmp_path / "stored", both.port, "ORTHANC")
    both.kill()
    before = both.routed()
    both.start()
    assert len(came_back(both, tmp_path, tmp_path / "stored")) == 3
    (again,) = both.routed()[len(before) :]
    assert again not in before
