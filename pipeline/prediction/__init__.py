"""`make predict`: a user's scans, however many, by however many processes, each done once.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, pipeline/bundle_files, evaluation/statistics,
evaluation/report, pipeline/check_data, pipeline/inference.
"""
