"""The beginning of a DICOM file: whether it is one, how it is stored, and a value near the top of its header."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

logger = logging.getLogger(__name__)

PREAMBLE_BYTES, MAGIC = 128, b"DICM"
# A file without preamble begins with its first tag, of group 2 or 8, little or big endian
FIRST_GROUPS, FIRST_GROUPS_BIG = (b"\x02\x00", b"\x08\x00"), (b"\x00\x02", b"\x00\x08")
# A deflated file unpacks into memory as a whole; no CT file comes near this
DEFLATED_LIMIT_BYTES = 2 << 30
BLOCK_BYTES = 1 << 20
# Of the texts that are read UIDs are longest
LONGEST_TEXT = 64


class DamagedHeaderError(Exception):
    """A file that begins as DICOM does cannot be understood; the message says what is wrong, without its values.

    `series_uid` is that of its series, as far as that can be read; else "".
    """

    def __init__(self, what: str, series_uid: str = "") -> None:
        super().__init__(what)
        self.series_uid = series_uid


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep what pydicom and highdicom warn of and log to themselves: they quote values, which may name the patient."""
    levels = {logger: logger.level for logger in map(logging.getLogger, ("pydicom", "highdicom"))}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def begins_without_preamble(file: Path) -> bool | None:
    """Whether a DICOM file lacks its preamble; None where it is not DICOM."""
    with file.open("rb") as stream:
        start = stream.read(PREAMBLE_BYTES + 4096)
    if start[PREAMBLE_BYTES:][:4] == MAGIC:
        if DeflatedExplicitVRLittleEndian.encode() in start:
            _check_deflated(file, start)
        return False
    # The next two bytes are the element, small in the first tag, and then the data type or a length
    if start[:2] in FIRST_GROUPS and start[3:4] == b"\0" and len(start) > 8:
        return True
    if start[:2] in FIRST_GROUPS_BIG and start[2:3] == b"\0" and len(start) > 8:
        # Two capitals are a data type, as in a big-endian file that tells it
        if start[4:6].isalpha() and start[4:6].isupper():
            return True
        # The length of the first value, which is a word or a UID
        if start[4:7] == b"\0\0\0" and start[7] in range(2, 66) and start[8 : 8 + start[7]].strip(b"\0").isascii():
            raise DamagedHeaderError("it is DICOM in big endian without data types, which no standard has")
    return None


def _check_deflated(file: Path, start: bytes) -> None:
    """Count what a deflated file unpacks to without keeping it."""
    # The length of the file meta information stands after its tag and type; what is deflated follows
    length = int.from_bytes(start[PREAMBLE_BYTES + 12 : PREAMBLE_BYTES + 16], "little")
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with file.open("rb") as stream:
        stream.seek(PREAMBLE_BYTES + 16 + length)
        while block := inflater.unconsumed_tail or stream.read(BLOCK_BYTES):
            try:
                total += len(inflater.decompress(block, BLOCK_BYTES))
            except zlib.error as error:
                raise DamagedHeaderError("its compressed content is damaged") from error
            if total > DEFLATED_LIMIT_BYTES:
                raise DamagedHeaderError(f"it unpacks to more than {DEFLATED_LIMIT_BYTES >> 30} GiB")


def first_text(file: Path, name: str) -> str:
    """A value near the beginning of a header, of which no more is read; "" where it cannot be told."""
    last = Tag(name)
    # Where nothing follows the file was cut off, in the middle of the value perhaps
    follows = []

    def is_beyond(tag: BaseTag, *_: object) -> bool:
        follows.extend([tag] if tag > last else [])
        return bool(follows)

    try:
        with quiet_pydicom(), file.open("rb") as stream:
            dataset = read_partial(stream, stop_when=is_beyond, specific_tags=[last], force=True)
            return text_of(dataset, name) if follows else ""
    # As many kinds as above; that the file is damaged is told by whoever asks
    except Exception as error:
        logger.debug("no %s: %s", name, type(error).__name__)
        return ""


def text_of(dataset: Dataset, name: str) -> str:
    """A value in words; DamagedHeaderError for more than its type can hold, as where a length is damaged.

    Such a value is what follows in the file, the patient's name among it, and messages have these words.
    """
    value = dataset.get(name)
    text = "" if value is None else str(value)
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise DamagedHeaderError(f"its {name} is too long or no text")
    return text
