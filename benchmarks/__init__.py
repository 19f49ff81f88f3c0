"""Measurements side by side with stock MONAI.

Takes from: pipeline/core, pipeline/scans, transforms, pipeline/folders, pipeline/phantom, evaluation/measures,
evaluation/statistics, evaluation/costs, pipeline/inferers, pipeline/training, pipeline/inference.
"""
