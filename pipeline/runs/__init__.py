"""Cross-validation and all that is made of it, in this process, side by side, or as jobs of a cluster.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, pipeline/bundle_files, evaluation/measures,
evaluation/tables, evaluation/statistics, evaluation/report, pipeline/data, pipeline/training, pipeline/inference.
"""
