"""One scan: read, checked, oriented, resampled and prepared, and the way of a result back to its grid; `dicom/` inside.

Takes from: pipeline/core.
"""
