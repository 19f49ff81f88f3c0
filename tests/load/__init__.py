"""A node and an Orthanc under load, and killed meanwhile: `python -m tests.load`."""
