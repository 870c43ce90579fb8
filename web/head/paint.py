"""The skin's picture: colours painted where the face's anatomy says."""

from __future__ import annotations

import io

import numpy as np
from hair import over_hairline
from people import Person
from PIL import Image, ImageFilter
from source import Floats, Ints, Source

SIZE = 1024
# Left of this the base mesh's texture shows nothing but the insides of the eye sockets.
_LEFT = 0.60


class Canvas:
    """The skin's texture space, cropped to what the head uses.

    Attributes:
        low, high: The window in the base mesh's texture coordinates.
    """

    def __init__(self, texture: Floats, triangles: Ints) -> None:
        """Finds out which triangle each pixel shows."""
        self.low, self.high = np.array([_LEFT, 0.0]), np.array([1.0, 1.0])
        self._triangles = triangles
        self._face = np.full((SIZE, SIZE), -1)
        self._weights = np.zeros((SIZE, SIZE, 3), np.float32)
        at = self.window(texture) * SIZE
        for number, corners in enumerate(triangles):
            self._fill(number, at[corners])

    def window(self, texture: Floats) -> Floats:
        """Texture coordinates in the cropped picture, v down as in glTF; 0 to 1."""
        inside = (texture - self.low) / (self.high - self.low)
        return np.clip(np.stack([inside[:, 0], 1 - inside[:, 1]], 1), 0, 1)

    def positions(self, points: Floats) -> Floats:
        """Where each pixel lies on the head; far away where there is no skin."""
        corners = points[self._triangles[np.maximum(self._face, 0)]]
        at = np.einsum("hwk,hwkc->hwc", self._weights, corners)
        at[self._face < 0] = 99.0
        return at

    def mask(self, source: Source, name: str) -> Floats:
        """A mask of the base mesh, cropped; 0 to 1."""
        image = source.mask(name)
        wide, high = image.size
        box = (
            self.low[0] * wide,
            (1 - self.high[1]) * high,
            self.high[0] * wide,
            (1 - self.low[1]) * high,
        )
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box), float) / 255

    def at_vertices(self, picture: Floats, texture: Floats) -> Floats:
        """A picture's values at vertices."""
        pixel = np.clip((self.window(texture) * SIZE).astype(int), 0, SIZE - 1)
        return picture[pixel[:, 1], pixel[:, 0]]

    def _fill(self, number: int, corners: Floats) -> None:
        a, b, c = corners
        x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, SIZE)
        area = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1])
        if abs(area) < 1e-9:
            return
        x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
        w0 = ((b[1] - c[1]) * (x - c[0]) + (c[0] - b[0]) * (y - c[1])) / area
        w1 = ((c[1] - a[1]) * (x - c[0]) + (a[0] - c[0]) * (y - c[1])) / area
        weights = np.stack([w0, w1, 1 - w0 - w1], -1)
        # A margin around each triangle, so that filtering at a seam finds skin on both sides.
        inside = (weights > -0.12).all(-1)
        self._face[y0:y1, x0:x1][inside] = number
        self._weights[y0:y1, x0:x1][inside] = weights[inside]


def paint(person: Person, canvas: Canvas, source: Source, points: Floats, eye: Floats) -> bytes:
    """The skin as a JPEG.

    Args:
        person: Whose.
        canvas: The texture space.
        source: For the masks.
        points: The skin's vertices around the middle between the eyes.
        eye: The left eye's centre.
    """
    rng = np.random.default_rng(3)
    at = canvas.positions(points)
    x, y, z = np.abs(at[..., 0]), at[..., 1], at[..., 2]
    ex, ey = eye[0], eye[1]
    front = np.clip((z + 0.45) / 0.5, 0, 1) * (z < 50)

    def spot(cx: float, cy: float, sx: float, sy: float) -> Floats:
        return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2) * front

    colour = np.ones((SIZE, SIZE, 3)) * np.array(person.skin) / 255
    rough = 0.030 * _noise(rng, 90) + 0.022 * _noise(rng, 24) + 0.022 * _noise(rng, 4)
    colour *= (1 + rough + 0.014 * _noise(rng, 1))[..., None]
    colour *= 1 + 0.03 * _noise(rng, 40)[..., None] * np.array([1.0, -0.3, -0.6])

    def tint(where: Floats, to: tuple[int, int, int], strength: float) -> None:
        nonlocal colour
        w = np.clip(where * strength, 0, 1)[..., None]
        colour = colour * (1 - w) + np.array(to) / 255 * w

    dark = tuple(int(value * 0.62) for value in person.skin)
    warm = person.blush
    tint(spot(ex + 0.15, ey - 0.38, 0.26, 0.20), warm, 0.34)
    tint(spot(0, ey - 0.30, 0.14, 0.14) * (z > 0.2), warm, 0.26)
    tint(spot(0, ey - 0.92, 0.22, 0.14), warm, 0.16)
    tint(canvas.mask(source, "ears"), warm, 0.30)
    tint(spot(ex + 0.02, ey + 0.075, 0.17, 0.055), dark, 0.32)
    tint(spot(ex - 0.02, ey - 0.15, 0.16, 0.05), warm, 0.20)
    tint(spot(ex, ey + 0.005, 0.19, 0.035), tuple(int(v * 0.5) for v in warm), 0.30)
    if person.freckles:
        grains = np.clip(_noise(rng, 5) * 3 - 0.85, 0, 1) * spot(0.22, ey - 0.30, 0.34, 0.16)
        tint(grains, tuple(int(v * 0.72) for v in person.skin), person.freckles)
    if person.stubble:
        beard = _beard(at, ey) * (z < 50)
        grain = 0.72 + 0.5 * _noise(rng, 1) + 0.25 * _noise(rng, 3)
        tint(
            beard * np.clip(grain, 0, 1),
            tuple(int(v * 0.8 + 8) for v in person.hair),
            0.46 * person.stubble,
        )
    lips = _blurred(canvas.mask(source, "lips"), 1.2)
    tint(lips, person.lips, person.lip_strength)
    tint(np.clip(canvas.mask(source, "inside-mouth") * 1.3, 0, 1), (96, 30, 32), 0.97)
    line = over_hairline(np.where(z[..., None] < 50, at, -9.0), person.hairline)
    edge = 0.10 * _noise(rng, 5) + 0.05 * _noise(rng, 12)
    scalp = np.clip((line + edge * 0.5 + 0.05) / 0.13, 0, 1) * (canvas.mask(source, "ears") < 0.4)
    scalp = scalp * scalp * (3 - 2 * scalp)
    tint(scalp * (y > -0.75), tuple(int(v * 0.62) for v in person.hair), 0.94)
    image = Image.fromarray((np.clip(colour, 0, 1) * 255).astype(np.uint8))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=84, optimize=True, progressive=True)
    return data.getvalue()


def _beard(at: Floats, ey: float) -> Floats:
    x, y, z = np.abs(at[..., 0]), at[..., 1] - ey, at[..., 2]
    below = np.clip((-0.52 + 0.34 * np.clip((x - 0.30) / 0.4, 0, 1) - y) / 0.12, 0, 1)
    moustache = np.exp(-(((y + 0.455) / 0.045) ** 2)) * np.clip((0.30 - x) / 0.06, 0, 1)
    neck = np.clip((y + 1.18) / 0.2, 0, 1)
    reach = np.clip((z + 0.75) / 0.2, 0, 1)
    return np.maximum(below * neck * reach, moustache * (z > 0))


def _noise(rng: np.random.Generator, cell: int) -> Floats:
    """Smooth noise of about -0.5 to 0.5 with features of ``cell`` pixels."""
    side = max(2, SIZE // cell)
    grid = rng.normal(0, 0.22, (side, side)).astype(np.float32)
    image = Image.fromarray(grid, "F").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image, float)


def _blurred(picture: Floats, radius: float) -> Floats:
    image = Image.fromarray((picture * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), float) / 255
