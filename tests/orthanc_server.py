"""A real Orthanc on the loopback address, which sends CT series to a node as tools/orthanc says, and keeps results."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node_makers import free_port, series, until
from pydicom.uid import SecondaryCaptureImageStorage

from pipeline.core.project import ROOT

PROGRAM = shutil.which("Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NEEDED = PROGRAM and PLUGIN.exists() and shutil.which("storescu")
ROUTE = ROOT / "tools" / "orthanc" / "route.lua"


class Orthanc:
    """Runs from the moment it is made until `stop`; `start` runs it again on what it has kept.

    Args:
        folder: of its configuration and database.
        node_port: of the node, whose title is PNEUMO.
        scripts: Lua.
        stable_s: seconds without an image after which a series is sent to the node.
    """

    def __init__(self, folder: Path, node_port: int, scripts: Sequence[Path] = (ROUTE,), stable_s: int = 1) -> None:
        self.folder, self.port, self.http = folder, free_port(), free_port()
        database = folder / "orthanc"
        database.mkdir(parents=True)
        settings = {
            "StorageDirectory": str(database),
            "IndexDirectory": str(database),
            "LuaScripts": [str(script) for script in scripts],
            "Plugins": [str(PLUGIN)],
            "StableAge": stable_s,
            "DicomAet": "ORTHANC",
            "DicomPort": self.port,
            "DicomModalities": {"PNEUMO": ["PNEUMO", "127.0.0.1", node_port]},
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            # Of a node that was killed: not the ten seconds of the usual
            "DicomScuTimeout": 5,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.start()

    def start(self) -> None:
        with (self.folder / "orthanc.log").open("a") as log:
            words = [str(PROGRAM), str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self.answers)

    def answers(self) -> bool:
        try:
            self.ask("/system")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def raw(self, path: str, content: Any = None) -> bytes:
        """What it answers; with content, to a POST of it as JSON."""
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", body, timeout=30) as answer:
            return answer.read()

    def ask(self, path: str, content: Any = None) -> Any:
        return json.loads(self.raw(path, content))

    def store_another(self) -> None:
        """Let something be stored, as happens all the time: what Orthanc could not send goes out again with that."""
        image = series()[0]
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        image.Modality = "OT"
        stream = io.BytesIO()
        image.save_as(stream, enforce_file_format=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/instances", stream.getvalue(), timeout=30):
            pass

    def routed(self) -> list[str]:
        """Its own names of the series that it sent to the node or tried to, each time."""
        lines = (self.folder / "orthanc.log").read_text().splitlines()
        return [line.rsplit(" ", 1)[1] for line in lines if "CT series to" in line]

    def instances(self, modality: str, **query: str) -> list[str]:
        """Its own names of the objects of a modality."""
        asked = {"Level": "Instance", "Query": {"Modality": modality, **query}}
        return list(self.ask("/tools/find", asked))

    def fetch(self, instance: str, file: Path) -> Path:
        file.write_bytes(self.raw(f"/instances/{instance}/file"))
        return file


def storescu(folder: Path, port: int, called: str, title: str = "SCANNER") -> None:
    """Send every DICOM file of a folder, as dcmtk does."""
    words = ["storescu", "-aet", title, "-aec", called, "-xs", "+sd", "+r", "127.0.0.1", str(port), str(folder)]
    subprocess.run(words, check=True, capture_output=True)
