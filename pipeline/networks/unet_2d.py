"""The 2D U-Net of Ronneberger et al., MICCAI 2015: MONAI's BasicUNet, that knows whether it has its weights."""

from __future__ import annotations

from monai.networks.nets import BasicUNet

from pipeline.networks.weights_loaded import KnowsItsWeights


class UNet2D(KnowsItsWeights, BasicUNet):
    """See `monai.networks.nets.BasicUNet`, whose arguments and weights it has."""
