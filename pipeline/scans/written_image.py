"""Image files that are whole or not there: SimpleITK (2.5) says nothing when a disk fills up below it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

# To ask the system why: more than is ever left of a last block
_PROBE = bytes(1 << 16)


def write_image(image: sitk.Image, target: str | Path) -> None:
    """Write a compressed image, read it back, and only then give it its name; OSError where it did not arrive."""
    with replacing(target) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            read_scan(temporary)
            return
        except (RuntimeError, InputError):
            pass
        raise _why(temporary)


def _why(file: Path) -> OSError:
    """What the system says when more is written to a file, which SimpleITK does not pass on."""
    try:
        with file.open("ab") as stream:
            stream.write(_PROBE)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return error
    return OSError(errno.EIO, "an image was not written whole", str(file))
