"""A trained network as ONNX, in 8 bits and as TorchScript, compared and timed.

Takes from: pipeline/core, pipeline/scans, transforms, pipeline/folders, evaluation/measures, evaluation/costs,
pipeline/inference.
"""
