"""What a model found in one scan: label, probabilities, severity and flags, in memory until it is saved."""

from __future__ import annotations

import base64
import html
import io
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation.report.slice_picture import slice_picture
from evaluation.report.stack import oriented, stack_of
from pipeline.core.errors import InputError
from pipeline.core.temperature import calibration_told
from pipeline.folders.manifest import BEGUN, manifest_file, read_manifest, write_manifest
from pipeline.folders.output_folder import check_output, check_results
from pipeline.prediction.case_files import CaseFiles
from pipeline.prediction.opened_input import series_again
from pipeline.prediction.probabilities import numbers_of
from pipeline.prediction.segmented import Segmented
from pipeline.prediction.warnings_told import warnings_told
from pipeline.scans.front import from_array
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import affine_of
from pipeline.scans.simpleitk import sitk


class Result:
    """What was found in a scan, on the scan's own grid; arrays are (W, H, D), as nibabel and MONAI have them.

    It holds the scan (as it was read), the label (a byte a voxel) and, where they were asked for, the probabilities in
    two bytes a class and voxel of the prepared grid; not the model, which may be closed.
    """

    def __init__(self, found: Segmented, warnings: list[str]) -> None:
        self._found = found
        self._warnings = warnings

    @property
    def name(self) -> str:
        """Of the case."""
        return self._found.source.item.case

    @cached_property
    def label(self) -> np.ndarray:
        """Class numbers, uint8 (W, H, D); `labels` says what they are."""
        return sitk.GetArrayFromImage(self._found.label).transpose(2, 1, 0)

    @property
    def label_image(self) -> sitk.Image:
        """The same as a SimpleITK image."""
        return sitk.Image(self._found.label)

    @property
    def labels(self) -> dict[int, str]:
        """Number of a class -> its name."""
        return dict(enumerate(self._found.made_by.labels.classes))

    @property
    def affine(self) -> np.ndarray:
        """From indices of `label` to millimetres in RAS, float64 (4, 4)."""
        return affine_of(Geometry.of(self._found.label))

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Of voxels, along the axes of `label`."""
        return tuple(self._found.label.GetSpacing())

    def mask(self, name: str) -> np.ndarray:
        """Where a class or structure such as `lungs` is, bool (W, H, D); InputError for one that there is not."""
        return np.isin(self.label, list(numbers_of(name, self._found.made_by.labels, self.name)))

    def probability(self, name: str) -> np.ndarray:
        """Of a class or structure, float32 (W, H, D) in [0, 1], interpolated linearly from the prepared grid.

        Made anew each time. Calibrated as `calibration` says: infection against the rest, so that of voxels with 0.3
        about three of ten are infected. Of an ensemble that votes it is the share of the votes. The label is not simply
        where it is largest: a temperature does not change it, and the configuration may have a threshold of its own, or
        a first stage. InputError where there is none of the name, or the scan was segmented without probabilities.
        """
        if self._found.probabilities is None:
            raise InputError(
                f"{self.name}: was segmented without probabilities, or by a bundle of an earlier version that does not "
                "give them; segment it with probabilities=True."
            )
        return self._found.probabilities.of(name, self.name)

    @property
    def calibration(self) -> dict[str, Any]:
        """Whether probabilities are `calibrated`, and then the `temperature` and of how many held-out `patients` it is.

        A list of each, one a member, of an ensemble's mean.
        """
        return calibration_told(self._found.made_by.temperatures)

    @property
    def uncertainty(self) -> np.ndarray | None:
        """Of an ensemble, the share of its members that chose another class, float32 (W, H, D); None of one model."""
        share = self._found.uncertainty
        return None if share is None else sitk.GetArrayFromImage(share).transpose(2, 1, 0)

    @property
    def severity(self) -> dict[str, Any]:
        """Volumes in ml, infected shares in percent and the CT grade, as in the case's JSON; None where undefined."""
        return dict(self._found.severity)

    @property
    def flags(self) -> list[dict[str, Any]]:
        """Signs that the segmentation failed, as in the case's JSON; look first at those that are `raised`."""
        return [dict(flag) for flag in self._found.flags]

    @property
    def warnings(self) -> list[str]:
        """Sentences about this scan, such as that its header is doubtful."""
        return list(self._warnings)

    @property
    def facts(self) -> dict[str, Any]:
        """Of the model: its hash, network, mode and so on, as in the case's JSON."""
        return dict(self._found.made_by.facts)

    def save(self, folder: str | os.PathLike[str], *, page: bool = True, rtstruct: bool = False) -> list[Path]:
        """Write what `make predict` writes of a scan, and give the paths: JSON and label first.

        That is `<name>.nii.gz`, `<name>.json`, the page `<name>.html` unless `page` is false, of an ensemble
        `uncertainty/<name>.nii.gz`, and of DICOM, whose files are looked at again, `<name>.seg.dcm`, `<name>.sr.dcm`
        and, with `rtstruct`, `<name>.rtstruct.dcm`.
        Raises InputError before anything is written where a file of these names is there that this program did not
        write, that was changed since, or that is of another scan; and where the folder is part of a data set.
        """
        out, item = Path(folder), self._found.source.item
        check_output(out, *item.paths)
        check_results(out, [item.case])
        files = CaseFiles(self._found.made_by, out, page, rtstruct=rtstruct)
        warned = self.warnings
        old = read_manifest(manifest_file(out, item.case))
        files.check_kept(old, item, self._found.source.sha256, warned)
        try:
            with series_again(item, self._found.source.sha256) as series, warnings_told(item, warned):
                # Whatever ends this: what is there then is this program's
                write_manifest(out, {**(old or {**files.told(item), "message": ""}), "status": BEGUN})
                manifest = files.write(self._found, series, warned, old)
            write_manifest(out, manifest)
        except OSError as error:
            raise InputError(
                f"{self.name}: cannot be written to {folder} ({error.strerror or error}); make room, or choose another "
                "folder."
            ) from error
        return [manifest_file(out, item.case), *(out / name for name in manifest["files"])]

    def picture(self, number: int | None = None, of: str = "") -> Image.Image:
        """A slice in the lung window with what was found tinted, lungs in blue and infection in orange.

        Args:
            number: of the slice, from 1 at the feet; None for the one with the most infection.
            of: name of a class or structure whose probability is shown in jet colours instead.
        """
        found = self._found
        stack = stack_of(found.scan, found.label, self.name, found.made_by.window_hu)
        if number is not None and number not in stack.numbers:
            raise InputError(f"{self.name}: has no slice {number!r}; expected a number from 1 to {stack.of}.")
        if of:
            levels = np.rint(self.probability(of) * 255).astype(np.uint8)
            likely = from_array(levels, Geometry.of(found.label))
            stack = replace(stack, probability=oriented(likely)[0])
        return slice_picture(stack, found.made_by.labels, number)

    def __repr__(self) -> str:
        raised = [flag["flag"] for flag in self._found.flags if flag["raised"]]
        told = [f"{self.name!r}", " x ".join(map(str, self._found.label.GetSize())), *self._shares()]
        return f"Result({', '.join([*told, *(f'look first: {name}' for name in raised)])})"

    def _shares(self) -> list[str]:
        share, grade = self._found.severity.get("lungs_percent"), self._found.severity.get("grade")
        return [*([] if share is None else [f"{share:.1f} % of the lungs infected"]), *([grade] if grade else [])]

    def _repr_html_(self) -> str:
        stream = io.BytesIO()
        self.picture().save(stream, "WEBP", quality=80)
        picture = base64.b64encode(stream.getvalue()).decode()
        raised = [flag["sentence"] for flag in self._found.flags if flag["raised"]]
        volumes = [f"{name}: {ml:,.0f} ml" for name, ml in self._found.severity["volumes_ml"].items()]
        lines = [self.name, *self._shares(), *volumes, *raised, *self._warnings]
        cells = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        return f'<table><tr><td><img src="data:image/webp;base64,{picture}"></td><td>{cells}</td></tr></table>'
