"""Those who send: series of their own until they are stored, and what no node should be troubled by."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from conftest import chest
from dicom_makers import classic
from node_makers import associate
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import generate_uid

SIZE, SPACING_MM = (128, 128), (2.7, 2.7, 5.0)
CHESTS = 4


def chests(slices: int) -> list[list[Dataset]]:
    return [classic(chest((*SIZE, slices), SPACING_MM, seed=seed)[0]) for seed in range(CHESTS)]


def renewed(slices: Sequence[Dataset], number: int) -> list[Dataset]:
    """The same pixels as a series of another patient and study."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    # Every tenth patient has the number of the one before
    patient = {"PatientID": f"LOAD{number - (number % 10 == 9)}", "PatientName": f"Load^{number}"}
    made = []
    for each in slices:
        # Elements are shared, pixels among them, and these are put in the place of others
        dataset = Dataset()
        dataset.update(each)
        own = generate_uid()
        for name, value in {**uids, **patient, "SOPInstanceUID": own}.items():
            dataset.add_new(name, each[name].VR, value)
        dataset.file_meta = file_meta(each, own)
        made.append(dataset)
    return made


def file_meta(dataset: Dataset, sop_instance: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.update(dataset.file_meta)
    meta.add_new("MediaStorageSOPInstanceUID", "UI", sop_instance)
    return meta


def send_until_taken(port: int, called: str, datasets: Sequence[Dataset], title: str = "SCANNER") -> None:
    """As a modality does: all of it again, until each was taken in one association that ended in order."""
    while True:
        association = associate(port, title, called)
        if association.is_established:
            try:
                taken = all(association.send_c_store(each).get("Status") == 0 for each in datasets)
            except RuntimeError:
                # Whoever listened was killed
                taken = False
            association.release()
            if taken:
                return
        time.sleep(0.5)


class Senders:
    """Threads that share the series.

    Args:
        every: series.
        count: of threads.
        port: of Orthanc.
    """

    def __init__(self, every: Sequence[Sequence[Dataset]], count: int, port: int) -> None:
        self.left, self.port, self.lock = iter([*every]), port, threading.Lock()
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _next(self) -> Sequence[Dataset] | None:
        with self.lock:
            return next(self.left, None)

    def _work(self) -> None:
        while (datasets := self._next()) is not None:
            send_until_taken(self.port, "ORTHANC", datasets)

    def are_done(self) -> bool:
        return not any(thread.is_alive() for thread in self.threads)


def malformed(slices: Sequence[Dataset], count: int) -> Iterator[Dataset]:
    """Objects each of which is wrong in one of several ways."""
    for number in range(count):
        dataset = renewed(slices[:1], number)[0]
        kind = number % 5
        if kind == 0:
            dataset.add_new("PixelData", "OW", dataset.PixelData[: number * 10])
        elif kind == 1:
            dataset.add_new("SeriesInstanceUID", "UI", "")
        elif kind == 2:
            del dataset["Rows"]
        elif kind == 3:
            dataset.add_new("ImageOrientationPatient", "DS", [1, 0, 0, 1, 0, 0])
        else:
            dataset.add_new("PixelSpacing", "LO", "wide\\wider")
        yield dataset
