"""One prepared scan through a model that somebody chose: a fold, several, a cascade, a bundle.

Takes from: pipeline/core, pipeline/scans, pipeline/networks, pipeline/inferers, transforms, pipeline/folders,
pipeline/bundle_files, evaluation/measures, evaluation/statistics, evaluation/report, pipeline/check_data,
pipeline/data, pipeline/training.
"""
