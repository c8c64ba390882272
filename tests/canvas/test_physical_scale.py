"""A canvas at half the pixel size is the same image, seen sharper.

The network is random with smooth kernels (a kernel that is noise from tap to tap has no meaning at another resolution)
and knows no position, so that only the noise field makes the image. Measured over twelve such networks (k = 5 and 7,
one and two blocks, with and without self-attention): the 2 x 2 means of T x_0 at twice the resolution correlate with
T x_0 by 0.998 to 0.9998, of the sharpened images by 0.988 to 0.997; at half the resolution by 0.84 to 0.99 (pixels as
wide as the mollifier's sigma are coarse for it).
"""

import numpy as np
import pytest
import torch

from infbrush_wsi.operators.sparse_conv import DepthwiseConv

SHAPE = (64, 96)


@pytest.fixture(scope="module", params=[0, 1, 2])
def smooth_pipeline(request, make_pipeline):
    pipeline = make_pipeline(seed=request.param, kernel_size=7, position="none", classes=())
    at = torch.arange(7) - 3.0
    bump = torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.2**2))
    torch.manual_seed(request.param)
    with torch.no_grad():
        for layer in pipeline.denoiser.modules():
            if isinstance(layer, DepthwiseConv):
                layer.weight.copy_(1.5 * torch.randn(layer.weight.shape[0], 1, 1) * bump / bump.sum())
    return pipeline


def rendered(pipeline, ratio, seed=5):
    """T x_0 and the image, (h, w, 3), at `ratio` pixels per training pixel."""
    h, w = (int(side * ratio) for side in SHAPE)
    canvas = pipeline(size=(w, h), mpp=0.5 / ratio, seed=seed, num_inference_steps=8, engine="joint")
    state = canvas.reader._engine(canvas.reader.folder).render()
    clean = np.array(state.open())
    state.remove()
    return clean, canvas.read_region((0, 0), 0, (w, h)).astype(float)


def halved(values):
    h, w, bands = values.shape
    return values.reshape(h // 2, 2, w // 2, 2, bands).mean(axis=(1, 3))


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_twice_the_resolution_shows_the_same_image(smooth_pipeline):
    (clean, image), (fine, fine_image) = rendered(smooth_pipeline, 1.0), rendered(smooth_pipeline, 2.0)
    assert correlation(halved(fine), clean) > 0.99
    assert correlation(halved(fine_image), image) > 0.98
    assert correlation(halved(rendered(smooth_pipeline, 2.0, seed=6)[0]), clean) < 0.8


def test_half_the_resolution_shows_the_same_image(smooth_pipeline):
    clean, coarse = rendered(smooth_pipeline, 1.0)[0], rendered(smooth_pipeline, 0.5)[0]
    assert correlation(halved(clean), coarse) > 0.85
