"""nnU-Net v2's own predictor, with random weights: imported in the environment of benchmarks/nnunet_environment.sh.

Its default plain U-Net for the patch, spacing and feature maps of ours: five stages of 32 to 512 maps, two convolutions
a stage, instance norms; half-overlapping Gaussian windows without mirrored copies, its default resampling (cubic for
the image, linear for the logits). The time is that of `predict_from_files_sequential`, from the file to the label file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import nn

FEATURES = [32, 64, 128, 256, 512]
# nnU-Net counts axes from the slices on
PATCH, SPACING_MM = [80, 160, 160], [2.7, 1.58, 1.58]
CLASSES = {"background": 0, "left_lung": 1, "right_lung": 2, "infection": 3}
# Names of classes, which its files hold, and the classes themselves
IMPORTED = {"conv_op": nn.Conv3d, "norm_op": nn.InstanceNorm3d, "nonlin": nn.LeakyReLU}
ARCHITECTURE = {
    "n_stages": len(FEATURES),
    "features_per_stage": FEATURES,
    "kernel_sizes": [[3] * 3] * len(FEATURES),
    "strides": [[1] * 3, *[[2] * 3] * (len(FEATURES) - 1)],
    "n_conv_per_stage": [2] * len(FEATURES),
    "n_conv_per_stage_decoder": [2] * (len(FEATURES) - 1),
    "conv_bias": True,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin_kwargs": {"inplace": True},
}


def prepare(scan: str, output: str) -> Callable[[], dict[str, float]]:
    """What segments a scan; its model's folder is written, and the model loaded, beforehand."""
    folder = Path(output)
    model = folder / "model"
    write_model(model)
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(0,))

    def segment() -> dict[str, float]:
        predictor.predict_from_files_sequential([[scan]], [str(folder / "case")], save_probabilities=False)
        return {}

    return segment


def write_model(folder: Path) -> None:
    """What a training by nnU-Net leaves: plans, data set, and weights, which are those that it would begin with."""
    fold = folder / "fold_0"
    fold.mkdir(parents=True, exist_ok=True)
    for name, content in (("plans", plans()), ("dataset", dataset())):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    torch.manual_seed(0)
    network = PlainConvUNet(
        input_channels=1, num_classes=len(CLASSES), deep_supervision=True, **ARCHITECTURE, **IMPORTED
    )
    network.apply(network.initialize)
    weights = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(weights, fold / "checkpoint_final.pth")


def dataset() -> dict[str, Any]:
    return {"channel_names": {"0": "CT"}, "labels": CLASSES, "numTraining": 1, "file_ending": ".nii.gz"}


def plans() -> dict[str, Any]:
    """As its planner writes them."""
    separately = {"order_z": 0, "force_separate_z": None}
    resampled = {
        key: value
        for name, is_segmentation, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1))
        for key, value in {
            f"resampling_fn_{name}": "resample_data_or_seg_to_shape",
            f"resampling_fn_{name}_kwargs": {"is_seg": is_segmentation, "order": order, **separately},
        }.items()
    }
    network = {
        "network_class_name": f"{PlainConvUNet.__module__}.{PlainConvUNet.__name__}",
        "arch_kwargs": {
            **ARCHITECTURE,
            **{key: f"{each.__module__}.{each.__name__}" for key, each in IMPORTED.items()},
        },
        "_kw_requires_import": [*IMPORTED, "dropout_op"],
    }
    full_resolution = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "median_image_size_in_voxels": [98, 252, 252],
        "spacing": SPACING_MM,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        **resampled,
        "architecture": network,
        "batch_dice": False,
    }
    hounsfield = {
        "max": 3000.0, "mean": -700.0, "median": -800.0, "min": -1024.0,
        "percentile_00_5": -1000.0, "percentile_99_5": 200.0, "std": 250.0,
    }  # fmt: skip
    return {
        "dataset_name": "Dataset001_Chest",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": SPACING_MM,
        "original_median_shape_after_transp": [275, 512, 512],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": full_resolution},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": hounsfield},
    }
