"""What happens to a scan as a dictionary of MONAI: preparing, augmenting, and writing what a network said.

Takes from: pipeline/core, pipeline/scans.
"""
