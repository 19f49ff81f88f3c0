"""Class weights that make MONAI's softmax focal loss the alpha-balanced one of Lin et al. 2017 (arXiv:1708.02002)."""

from __future__ import annotations

from pipeline.core.labels import INFECTED, LabelMap


def infection_weights(label_map: LabelMap, alpha: float) -> list[float]:
    """Weight of each class: `alpha` for those that hold infection, 1 - `alpha` for every other.

    MONAI's `FocalLoss` takes the mean over voxels and classes, though a voxel costs something in its own class alone;
    times the number of classes it is a mean over voxels. With two classes the loss is then that of one sigmoid. MONAI's
    own `alpha`, a number, would give it to every class but the background: to the lungs too.
    """
    balance = [alpha if {*codes} & {*INFECTED} else 1 - alpha for codes in label_map.classes.values()]
    return [len(balance) * share for share in balance]
