"""Spectral pooling: a smaller map that keeps the low frequencies of a larger one.

Rippel, Snoek, Adams, "Spectral representations for convolutional neural networks", NeurIPS 2015, as the CHS-Net paper
uses it (Punn, Agarwal 2020): discrete Fourier transform, crop around its zero frequency, inverse, real part. Here means
keep their value; with the unitary transform that the paper prints, a map of half the size would be twice as bright.
Verified: equal to these four steps written out; float32 under mixed precision; a constant stays constant; pooling to
one pixel is the mean.
Half of the spectrum of a real map tells all of it, so only that half is computed. A product with a fixed matrix along
each axis is the same and as fast on a CPU (18 maps of 256x256, one thread: twice the time forward, the same with
backward; of 96x96: the same forward, half with backward), but mixed precision would compute it in bfloat16.
"""

from __future__ import annotations

import torch


def spectral_pool(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(B, C, H, W) to (B, C, height, width), no larger; computed in float32, returned in the type of `x`."""
    if x.shape[2] == height and x.shape[3] == width:
        return x
    columns, negative = width // 2 + 1, height // 2
    # Mixed precision leaves Fourier transforms in the type that they get
    along_rows = torch.fft.rfft(x.float(), dim=3, norm="forward")[..., :columns]
    spectrum = torch.fft.fft(along_rows, dim=2, norm="forward")
    # Frequencies 0, 1, ... from the top, the negative ones from the bottom
    kept = torch.cat([spectrum[:, :, : height - negative], spectrum[:, :, x.shape[2] - negative :]], dim=2)
    if height % 2 == 0:
        # The crop keeps the lowest frequency, -height / 2, and drops its mirror image: in the real part each has half
        mirrored = spectrum[:, :, negative]
        kept[:, :, negative] = (kept[:, :, negative] + mirrored) / 2
        if width % 2 == 0:
            # Lowest along both axes: here the mirror image has the same real part, and the other two corners are gone
            kept[:, :, negative, -1] = mirrored[..., -1]
    pooled = torch.fft.irfft(torch.fft.ifft(kept, dim=2, norm="forward"), n=width, dim=3, norm="forward")
    return pooled.to(x.dtype)
