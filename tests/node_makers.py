"""Nodes for tests: on ports of the loopback address that are free, with what stands in for a network."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import chest
from dicom_makers import classic
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SegmentationStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import ComprehensiveSRStorage

from pipeline.folders.inputs import Input
from pipeline.folders.manifest import DONE, FAILED, REPORT, SEGMENTATION, Manifest, write_manifest
from pipeline.node.settings import Peer, Settings, Web

SCANNER, ARCHIVE = "SCANNER", "ARCHIVE"
SLICES = 12


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def settings_of(archive_port: int = 1, **changes: Any) -> Settings:
    """Of a node that gets from SCANNER, and sends to ARCHIVE."""
    peers = {
        SCANNER: Peer(SCANNER, "127.0.0.1", archive_port, may_send=True, send_to=(ARCHIVE,)),
        ARCHIVE: Peer(ARCHIVE, "127.0.0.1", archive_port),
    }
    usual: dict[str, Any] = {"port": 0, "quiet_s": 0.0, "broken_off_s": 0.0, "retry_s": 0.0}
    return Settings(**{"aet": "NODE", "peers": peers, **usual, **changes})


def with_web(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, web=Web(free_port(), send_to=(ARCHIVE,), **changes))


def series(**changes: object) -> list[Dataset]:
    """Twelve slices of a tiny chest."""
    made = classic(chest()[0])
    for dataset in made:
        for name, value in changes.items():
            setattr(dataset, name, value)
    return made


def associate(port: int, title: str = SCANNER, called: str = "NODE", **options: Any) -> Association:
    application = AE(title)
    # Of a node that is killed nobody answers
    application.acse_timeout = application.dimse_timeout = application.connection_timeout = 2.0
    application.add_requested_context(CTImageStorage)
    application.add_requested_context("1.2.840.10008.1.1")
    return application.associate("127.0.0.1", port, ae_title=called, **options)


def store(port: int, datasets: Sequence[Dataset], title: str = SCANNER, called: str = "NODE") -> list[int]:
    """The status of each of some objects that are sent in one association."""
    association = associate(port, title, called)
    assert association.is_established
    found = [association.send_c_store(dataset).Status for dataset in datasets]
    association.release()
    return found


def fake_segment(results: Path, objects: dict[str, Dataset] | None = None) -> Callable[[Input], Manifest]:
    """Stands in for a network: the first slice of a series, as a segmentation and as a report."""
    seen: list[str] = []

    def segment(item: Input) -> Manifest:
        files = sorted(item.paths[0].iterdir())
        seen.append(item.case)
        told = {"case": item.case, "message": "", "seconds": {"network": 0.5}, "flags": [], "warnings": []}
        if len(files) < 2:
            return {**told, "status": FAILED, "message": f"{item.case}: it is one slice, not a volume."}
        for suffix, sop_class in ((SEGMENTATION, SegmentationStorage), (REPORT, ComprehensiveSRStorage)):
            result = series()[0]
            result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = sop_class
            result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            result.save_as(results / f"{item.case}{suffix}", enforce_file_format=True)
        severity = {"lungs_percent": 12.5, "grade": "CT-1"}
        manifest = {**told, "status": DONE, "severity": severity, "input": {"images": len(files)}}
        write_manifest(results, manifest)
        return manifest

    segment.seen = seen  # type: ignore[attr-defined]
    return segment


class Archive:
    """A peer that keeps what it gets, by SOP Instance UID; `statuses` are its first answers."""

    def __init__(self, statuses: Sequence[int] = ()) -> None:
        self.got: list[str] = []
        self.statuses = [*statuses]
        application = AE(ARCHIVE)
        for sop_class in (SegmentationStorage, ComprehensiveSRStorage):
            application.add_supported_context(sop_class)
        self.server = application.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._stored)]
        )

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def _stored(self, event: Any) -> int:
        if self.statuses:
            return self.statuses.pop(0)
        self.got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def stop(self) -> None:
        self.server.shutdown()


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What a condition says once it holds; it is no assertion on how long that takes."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
    return found
