"""The papers' experiments and ablation tables.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, evaluation/measures, evaluation/tables, pipeline/data,
pipeline/training, pipeline/runs.
"""
