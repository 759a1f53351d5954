"""Smooth curves of bits per character over log2 V with a known minimum: the truth of simulated ladders.

Each is a least-squares fit to a measured ladder: nine to our own (V = 512 to 16,384, means of three seeds),
five to losses published by Tao et al. 2024 (arXiv 2407.13623; V = 4,096 to 96,256; interpolated over FLOPs at
one budget; their loss in nats divided by 3). They belong to five families, so that no estimator can know the
right one.
"""

import numpy as np
from scipy.interpolate import CubicSpline

LADDER, PUBLISHED = (-2.5, 2.5), (-2.0, 2.55)  # the measured range, in octaves from the middle
MIN_SLOPE = 0.004  # smallest slope outside this range, where a curve is a straight line; bits per octave
KNOTS = {6: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], 7: [-2.0, -1.241, -0.482, 0.277, 1.036, 1.795, 2.55]}

CURVES: dict[str, tuple[str, list[float], tuple[float, float]]] = {
    "bpe text-1x": ("powers", [2.2456, -3.096, -0.1246, -1.6695, -2.1033], LADDER),
    "bpe text-4x": ("hyperbola", [2.1831, 0.0066, -3.6022, 0.5798, -0.1315], LADDER),
    "bpe compute-1x": ("sigmoid", [2.4381, -5.6859, 0.7449, -1.8123, 1.1467, 0.9752], LADDER),
    "bpe compute-4x": ("powers", [2.0295, -3.0456, -0.3256, -2.1546, -0.4842], LADDER),
    "bpe compute-4x, spline": ("spline", [2.2364, 2.1877, 2.1889, 2.2095, 2.2706, 2.3809], LADDER),
    "unigram text-1x": ("sigmoid", [2.2901, -2.319, -0.4925, -1.2718, 1.3729, 1.0266], LADDER),
    "unigram text-4x": ("spline", [2.2491, 2.2244, 2.1743, 2.1454, 2.1833, 2.3115], LADDER),
    "unigram compute-1x": ("sigmoid", [2.3395, -3.4501, 0.1574, -0.8578, 1.2626, 1.1062], LADDER),
    "unigram compute-4x": ("hyperbola", [1.8236, 0.1312, -1.6389, 1.1979, 0.3344], LADDER),
    "85M": ("polynomial", [1.0052, 0.0101, 0.0068, 0.0007, 0.0004], PUBLISHED),
    "151M": ("hyperbola", [0.9899, -0.0064, -3.9692, -0.6266, -1.5717], PUBLISHED),
    "316M": ("polynomial", [1.0067, -0.0023, 0.0078, 0.0006, 0.0], PUBLISHED),
    "316M, spline": ("spline", [1.0461, 1.026, 1.0134, 1.0054, 1.0079, 1.0237, 1.0424], PUBLISHED),
    "632M": ("powers", [0.6122, -0.9695, -2.1844, -3.8877, 0.1356], PUBLISHED),
}


def _family(family: str, p: list[float], u: np.ndarray) -> np.ndarray:
    if family == "powers":  # of V, one falling and one rising
        return p[0] + np.exp(p[1]) * 2 ** (-np.exp(p[2]) * u) + np.exp(p[3]) * 2 ** (np.exp(p[4]) * u)
    if family == "sigmoid":  # a falling power, and a rise that levels off
        rise = np.exp(p[3]) / (1 + np.exp(-(u - p[4]) * np.exp(p[5])))
        return p[0] + np.exp(p[1]) * 2 ** (-np.exp(p[2]) * u) + rise
    if family == "hyperbola":
        return p[0] + p[1] * u + np.exp(p[2]) * np.sqrt((u - p[3]) ** 2 + np.exp(p[4]))
    if family == "polynomial":
        return np.polynomial.polynomial.polyval(u, p)
    return CubicSpline(KNOTS[len(p)], p, bc_type="natural")(u)


def bits(name: str, u: np.ndarray) -> np.ndarray:
    """Bits per character at `u` octaves (an array of any shape) from the middle of a curve."""
    family, p, (low, high) = CURVES[name]
    step = 1e-4
    ends = _family(family, p, np.array([low, low + step, high - step, high]))
    falls = min((ends[1] - ends[0]) / step, -MIN_SLOPE)
    rises = max((ends[3] - ends[2]) / step, MIN_SLOPE)
    inside = _family(family, p, np.clip(u, low, high))
    return inside + falls * np.minimum(u - low, 0) + rises * np.maximum(u - high, 0)


_GRID = np.linspace(-3, 3.5, 65_001)
LOWEST = {name: float(_GRID[bits(name, _GRID).argmin()]) for name in CURVES}
"""the minimum of each curve, in octaves from its middle"""
