"""Looking at it: how much of a plain image the eye still finds after encryption."""

import numpy as np


def mean_ssim(plain: np.ndarray, seen: np.ndarray) -> float | None:
    """Compare images as people would, by structural similarity.

    Args:
        plain: uint8[n, H, W, C].
        seen: uint8[n, H, W, C], what became of them.

    Returns:
        The mean over the images of SSIM (Wang et al. 2004, a window of 7 pixels): 1 for equal images, about 0 where
        nothing is in common. None without scikit-image (`pip install "dkjax[report]"`), or for images smaller than
        the window. It says what the eye sees at once, not what an attack can get back.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return None
    if min(plain.shape[1:3]) < 7:
        return None
    pairs = zip(plain, seen, strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in pairs]))
