"""What happens around an epoch: checkpoints, curves, clipping, pretrained weights, workers that die.

Takes from: pipeline/core, pipeline/scans, pipeline/data.
"""
