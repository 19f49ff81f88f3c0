"""SimpleITK as `sitk`, missed only when it is used: training from a filled cache does without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai.utils import optional_import

if TYPE_CHECKING:
    import SimpleITK as sitk
else:
    sitk, _ = optional_import("SimpleITK")

__all__ = ["sitk"]
