"""Gray noise that is the same on every run; Pillow's own depends on what the process drew before."""

import numpy as np
from PIL import Image


def noise(size, spread, seed=1):
    """An image of mode L: normal noise around middle gray, ``spread`` gray levels wide."""
    width, height = size
    values = np.random.default_rng([seed, width, height, int(spread)]).normal(128, spread, (height, width))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
