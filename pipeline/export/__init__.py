"""Bundles for others: code, configurations, weights, pages, checks by the rules of the Model Zoo.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, pipeline/phantom, pipeline/bundle_files,
evaluation/statistics, pipeline/training, pipeline/inference.
"""
