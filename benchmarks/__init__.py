"""Measurements side by side with stock MONAI.

Takes from: pipeline/core, pipeline/scans, transforms, pipeline/folders, pipeline/phantom, evaluation/measures,
evaluation/costs, pipeline/training, pipeline/inference.
"""
