"""How a network is run over a prepared scan: windows, slices, precision, layout in memory, folded batch norms.

Takes from: pipeline/core.
"""
