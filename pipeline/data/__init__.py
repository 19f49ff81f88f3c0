"""Many scans: the checked list of cases, folds, the cache of prepared scans, patches and slices, labels by models.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, pipeline/check_data.
"""
