"""The page of a node in a browser: headless Chromium, which says what it complains of."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")
pytest.importorskip("uvicorn", reason="the extra `node` is not installed")

from dicom_makers import PATIENT_NAME
from node_makers import fake_segment, series, settings_of, store, until, with_web

from pipeline.node.node import Node
from pipeline.node.settings import Limits
from pipeline.node.spool import FAILED, SENDING

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")]


@pytest.fixture
def shown(tmp_path):
    """What a browser has of the page of a node with a result and a failure, and what it says of it."""
    settings = with_web(settings_of(limits=Limits(free_disk_mb=0), retry_s=60.0))
    node = Node(settings, tmp_path, fake_segment(tmp_path / "results"), "unet_3d", "PneumoBundle")
    with node.open():
        store(node.receiver.port, series())
        store(node.receiver.port, series()[:1])
        until(lambda: (node.step(), node.spool.state()[SENDING] and node.spool.state()[FAILED])[-1])
        until(lambda: node.web.started and node.sender.pauses)
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        address = f"http://127.0.0.1:{settings.web.port}/"
        return subprocess.run([CHROMIUM, *words, address], capture_output=True, text=True, check=True, timeout=120)


def test_the_browser_has_results_and_failures_and_complains_of_nothing(shown):
    cells = re.findall(r"<td[^>]*>([^<]+)", shown.stdout)
    assert "12.5" in cells
    assert "CT-1" in cells
    assert [cell for cell in cells if cell.endswith("it is one slice, not a volume.")] != []
    assert "For research only. Not a medical device" in shown.stdout
    assert PATIENT_NAME.split("^")[0] not in shown.stdout
    assert "CONSOLE" not in shown.stderr
