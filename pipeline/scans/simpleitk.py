"""SimpleITK as `sitk`, missed only when it is used: training from a filled cache does without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai.utils import optional_import

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813
else:
    sitk, has_sitk = optional_import("SimpleITK")
    if has_sitk:
        # What is wrong with a file is told by this project, once and in words
        sitk.ProcessObject.GlobalWarningDisplayOff()
        # ITK keeps its globals, of threads and of file formats, in a map that it fills at first use without a lock: two
        # threads at once may spoil it, and the program then never ends. Filled here, by one.
        sitk.Resample(sitk.Image(2, 2, 2, sitk.sitkUInt8))
        sitk.ImageFileReader.GetImageIOFromFileName("none.nii")

__all__ = ["sitk"]
