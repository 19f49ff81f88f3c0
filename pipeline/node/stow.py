"""STOW-RS, DICOM PS3.18 10.5: the objects of a request, and the answer that says which of them are stored."""

from __future__ import annotations

import json
import mmap
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from xml.etree import ElementTree

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from pipeline.node.arrival import NOT_UNDERSTOOD, OUT_OF_RESOURCES, PROCESSING_FAILED, RefusedError, look_at
from pipeline.node.gatherer import Gatherer
from pipeline.scans.dicom.file_start import MAGIC, PREAMBLE_BYTES, quiet_pydicom

DICOM, JSON, XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
LONGEST_HEADERS = 8192
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
BLOCK_BYTES = 1 << 20


class BadRequestError(Exception):
    """A request that is none; `status` is of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Answer:
    """What became of the objects of a request."""

    stored: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def http_status(self) -> int:
        if not self.failed:
            return 200
        if self.stored:
            return 202
        return 503 if all(reason == OUT_OF_RESOURCES for *_, reason in self.failed) else 409

    def dataset(self) -> Dataset:
        """The Store Instances Response Module; there is no URL to retrieve anything from."""
        told = Dataset()
        told.RetrieveURL = ""
        told.ReferencedSOPSequence = [_item(*each) for each in self.stored]
        told.FailedSOPSequence = [_item(*each) for each in self.failed]
        for name in ("ReferencedSOPSequence", "FailedSOPSequence"):
            if not told[name].value:
                del told[name]
        return told

    def text(self, media_type: str) -> str:
        """As DICOM JSON, or as the standard's XML."""
        if media_type == JSON:
            return json.dumps([self.dataset().to_json_dict()])
        root = ElementTree.Element("NativeDicomModel", xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM")
        _in_xml(root, self.dataset())
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _item(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if reason is None:
        item.RetrieveURL = ""
    else:
        item.FailureReason = reason
    return item


def _in_xml(parent: ElementTree.Element, dataset: Dataset) -> None:
    """PS3.19 A.1, of texts, numbers and sequences."""
    for element in dataset:
        names = {"tag": f"{element.tag:08X}", "vr": element.VR, "keyword": element.keyword}
        node = ElementTree.SubElement(parent, "DicomAttribute", names)
        if element.VR == "SQ":
            for number, item in enumerate(element.value, 1):
                _in_xml(ElementTree.SubElement(node, "Item", number=str(number)), item)
        elif element.value not in ("", None):
            ElementTree.SubElement(node, "Value", number="1").text = str(element.value)


def boundary_of(content_type: str) -> bytes:
    """What separates the objects of a request; BadRequestError for another kind of content."""
    told = Message()
    told["Content-Type"] = content_type
    inner = str(told.get_param("type") or "").lower()
    if told.get_content_type() != "multipart/related" or inner != DICOM:
        raise BadRequestError(415, f'expected Content-Type: multipart/related; type="{DICOM}"; boundary=...')
    boundary = str(told.get_param("boundary") or "")
    if not BOUNDARY.fullmatch(boundary):
        raise BadRequestError(400, "the Content-Type has no boundary, or one that is none")
    return boundary.encode("ascii")


def answer_type(accept: str) -> str:
    """The kind of answer that somebody accepts, JSON where it is all the same; BadRequestError for another kind."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")] if accept.strip() else ["*/*"]
    for kind in kinds:
        if kind in (JSON, "application/json", "application/*", "*/*"):
            return JSON
        if kind in (XML, "application/xml", "text/xml"):
            return XML
    raise BadRequestError(406, f"answers are {JSON} or {XML}")


def parts(body: Path, boundary: bytes, folder: Path) -> Iterator[Path]:
    """The objects of a request, each as a file in a folder; BadRequestError for what is no such request.

    `body` is a file, of which memory holds no more than a part's headers.
    """
    if not body.stat().st_size:
        raise BadRequestError(400, "the request is empty")
    with body.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        delimiter = b"--" + boundary
        at = content.find(delimiter)
        # What stands before the first one is nobody's; it begins a line
        if at < 0 or (at > 0 and content[at - 2 : at] != b"\r\n"):
            raise BadRequestError(400, "the boundary of the Content-Type is not in the request")
        at += len(delimiter)
        while content[at : at + 2] != b"--":
            end = content.find(b"\r\n" + delimiter, at)
            if end < 0:
                raise BadRequestError(400, "the request ends before its last boundary")
            yield _part(content, at, end, folder)
            at = end + 2 + len(delimiter)


def _part(content: mmap.mmap, at: int, end: int, folder: Path) -> Path:
    begin = content.find(b"\r\n\r\n", at, min(at + LONGEST_HEADERS, end))
    if begin < 0:
        raise BadRequestError(400, "a part has no headers, or no end of them")
    lines = content[at:begin].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("content-type", "").partition(";")[0].strip().lower() != DICOM:
        raise BadRequestError(415, f"a part is not {DICOM}")
    file = folder / uuid.uuid4().hex
    with file.open("wb") as stream:
        for start in range(begin + 4, end, BLOCK_BYTES):
            stream.write(content[start : min(start + BLOCK_BYTES, end)])
    return file


def store(gatherer: Gatherer, body: Path, boundary: bytes, study: str = "") -> Answer:
    """Take every object of a request that can be taken; with a study, those of it alone."""
    answer = Answer()
    files = parts(body, boundary, gatherer.spool.incoming)
    try:
        for file in files:
            sop_class, sop_instance = _named(file)
            try:
                arrival = look_at(file)
                if study and arrival.study_uid != study:
                    raise RefusedError(PROCESSING_FAILED, "it is of another study than the address says")
                gatherer.add(arrival, file)
                answer.stored.append((sop_class, sop_instance))
            except RefusedError as error:
                gatherer.refused(error.series, error.instance)
                answer.failed.append((sop_class, sop_instance, error.status))
            except OSError:
                answer.failed.append((sop_class, sop_instance, OUT_OF_RESOURCES))
            finally:
                file.unlink(missing_ok=True)
    except BadRequestError:
        # What came before is stored, and the answer has to say so
        if not answer.stored:
            raise
        answer.failed.append(("", "", NOT_UNDERSTOOD))
    if not answer.stored and not answer.failed:
        raise BadRequestError(400, "the request holds no object")
    return answer


def _named(file: Path) -> tuple[str, str]:
    """Class and UID of an object as its file meta information has them; empty where that cannot be read."""
    with file.open("rb") as stream:
        if stream.read(PREAMBLE_BYTES + 4)[PREAMBLE_BYTES:] != MAGIC:
            return "", ""
    try:
        with quiet_pydicom():
            meta = read_file_meta_info(file)
            return str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("MediaStorageSOPInstanceUID", ""))
    # Whatever a damaged value provokes; that it is damaged is told by whoever looks at it
    except Exception:
        return "", ""
