"""MONAI Label's own server with its app for bundles, in an environment that tools/clients_for_tests.sh makes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from client_bundles import BUNDLES, bundle_maker, found_by_predict, programs_of, voxels, without_project

pytestmark = pytest.mark.clients
MODEL = Path("models", "model.pt")
START_S, ANSWER_S = 300, 600


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    url: str
    models: Path

    def post(self, path: str, content: bytes, kind: str) -> bytes:
        request = urllib.request.Request(self.url + path, content, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.read()

    def infer(self, bundle: str, case: str, target: Path) -> np.ndarray:
        form = urllib.parse.urlencode({"params": json.dumps({"device": "cpu"})}).encode()
        path = f"/infer/{bundle}?image={case}&output=image"
        target.write_bytes(self.post(path, form, "application/x-www-form-urlencoded"))
        return voxels(target)

    def train(self, bundle: str) -> None:
        order = {"max_epochs": 1, "device": "cpu", "val_split": 0.5}
        self.post(f"/train/{bundle}?run_sync=true", json.dumps(order).encode(), "application/json")


@pytest.fixture(scope="module")
def sample_of(tmp_path_factory, tiny_training):
    programs_of("monai_label")
    return bundle_maker(tmp_path_factory.mktemp("monai_label"), {**tiny_training(), "learning_rate": 0.01})


@pytest.fixture(scope="module")
def server(sample_of, tmp_path_factory):
    """With all bundles, three scans and the labels of two of them."""
    programs, folder = programs_of("monai_label"), tmp_path_factory.mktemp("server")
    variables = without_project(programs)
    get_app = [programs / "monailabel", "apps", "--download", "--name", "monaibundle", "--output", folder]
    subprocess.run(get_app, cwd=folder, env=variables, check=True, capture_output=True)
    app = folder / "monaibundle"
    samples = [sample_of(network) for network in BUNDLES]
    for sample in samples:
        shutil.copytree(sample.bundle, app / "model" / sample.bundle.name)
    shutil.copytree(samples[0].scan.parent, folder / "scans")
    labelled = sorted(samples[0].scan.parents[1].glob("labels/*.nii.gz"))[1:]
    (folder / "scans" / "labels" / "final").mkdir(parents=True)
    for label in labelled:
        shutil.copy(label, folder / "scans" / "labels" / "final")
    port = free_port()
    start = [programs / "monailabel", "start_server", "--app", app, "--studies", folder / "scans"]
    start += ["--conf", "zoo_source", "ngc", "--conf", "models", ",".join(sample.bundle.name for sample in samples)]
    start += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        running = subprocess.Popen(start, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}", running, folder / "server.log")
        yield Server(f"http://127.0.0.1:{port}", app / "model")
    finally:
        running.terminate()
        running.wait(60)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(url: str, running: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_S
    while running.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/info/", timeout=START_S).close()
            return
        except urllib.error.URLError:
            time.sleep(1)
    pytest.fail(f"the server does not answer:\n{log.read_text()[-5000:]}")


@pytest.mark.parametrize("network", BUNDLES)
def test_the_server_finds_what_predict_finds(network, server, sample_of, tmp_path):
    sample = sample_of(network)
    found = server.infer(sample.bundle.name, sample.scan.name.removesuffix(".nii.gz"), tmp_path / sample.scan.name)
    assert found.shape == sample.label.shape
    assert np.count_nonzero(found != sample.label) == 0


def test_the_server_segments_with_what_it_trained(server, sample_of, tmp_path):
    sample = sample_of("unet_3d")
    bundle = server.models / sample.bundle.name
    before = (bundle / MODEL).read_bytes()
    server.train(bundle.name)
    found = server.infer(bundle.name, sample.scan.name.removesuffix(".nii.gz"), tmp_path / sample.scan.name)
    assert (bundle / MODEL).read_bytes() != before
    assert np.count_nonzero(found != sample.label) > 0
    assert np.count_nonzero(found != found_by_predict(bundle, sample.scan, tmp_path / "predicted")) == 0


@pytest.mark.parametrize("network", BUNDLES)
def test_the_server_trains_again_and_again(network, server, sample_of):
    bundle = server.models / sample_of(network).bundle.name
    trained = bundle / "eval" / "fold0" / "model.pt"
    for _ in range(2):
        trained.unlink(missing_ok=True)
        server.train(bundle.name)
        assert trained.is_file()
