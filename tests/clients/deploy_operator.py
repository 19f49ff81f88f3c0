"""MONAI Deploy's operator on a scan in memory, in its environment: `python deploy_operator.py MODEL SCAN OUT`.

MODEL is a bundle's folder or a model.ts in it. OUT, a .npy file, gets the label, (W, H, D).
"""

import json
import sys

import nibabel
import numpy as np
from monai.deploy.core import AppContext, Fragment, Image, IOType
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator


class Ports:
    """What the operator is given, as its operator for DICOM series would, and gives."""

    def __init__(self, scan: str) -> None:
        loaded = nibabel.load(scan)
        columns, rows, slices = map(float, loaded.header.get_zooms())
        spacing = {"row_pixel_spacing": rows, "col_pixel_spacing": columns, "depth_pixel_spacing": slices}
        # As in DICOM, (D, H, W)
        voxels = np.asarray(loaded.dataobj).swapaxes(0, 2)
        self.image = Image(voxels, {**spacing, "nifti_affine_transform": loaded.affine})

    def receive(self, name: str) -> Image:
        return self.image

    def get(self, name: str) -> None:
        return None

    def emit(self, found: Image, name: str) -> None:
        self.found = found.asnumpy().swapaxes(0, 2)


def main(model: str, scan: str, target: str) -> None:
    ports = Ports(scan)
    operator = MonaiBundleInferenceOperator(
        Fragment(),
        # The context loads files alone
        app_context=AppContext({"model": model if model.endswith(".ts") else "none"}),
        input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
        output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
        bundle_path=model,
        name="segmentation",
    )
    operator.compute(ports, ports, None)
    np.save(target, ports.found)
    print(json.dumps({"shape": ports.found.shape}))


if __name__ == "__main__":
    main(*sys.argv[1:])
