"""Masks in, numbers out: overlap, surfaces, lesions, severity, and signs that a case failed.

Takes from: pipeline/core, pipeline/scans.
"""
