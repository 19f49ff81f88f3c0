"""The losses, one file each, that MONAI does not have.

Takes from: pipeline/core.
"""
