"""Five synthetic textures named and shaped after MVTec AD's: carpet, grid, leather, tile, wood.

Every recipe takes three things: ``rng`` draws what varies between normal images, ``flaw`` draws what varies
between defects, and ``defect`` says which defect to paint (None: none). What ``rng`` draws never depends on
the defect, so a defective image is its normal twin with a defect on it.
"""

from __future__ import annotations

import numpy as np

from .engine import (
    Array,
    Picture,
    X,
    Y,
    anywhere,
    blob,
    box,
    cover,
    fractal,
    frame,
    log_uniform,
    mix,
    noise,
    norm,
    relief,
    scratches,
    smooth,
    stroke,
    tint,
    wander,
)

Rng = np.random.Generator


def _thread(flaw: Rng, picture: Picture, colour: tuple[float, float, float], width: float) -> None:
    """A stray fibre lying on the surface, with its shadow."""
    x, y = anywhere(flaw)
    points = wander(flaw, x, y, 2 * np.pi * flaw.random(), flaw.uniform(50, 170), wiggle=0.5, steps=24)
    shadow = stroke([(px + 1.5, py + 2) for px, py in points], width=width)
    picture.flaw((0.0, 0.0, 0.0), shadow, 0.35).flaw(colour, stroke(points, width=width))


def carpet(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Grey woven carpet: loops of two yarns crossing in a twill."""
    pitch = 7.0
    u, v = frame(rng.uniform(0, 32), rng.uniform(0, 32), rng.uniform(-0.04, 0.04))
    u, v = u / pitch + 0.25 * noise(rng, 5), v / pitch + 0.25 * noise(rng, 5)
    column, row = np.floor(u), np.floor(v)
    along, across = u - column - 0.5, v - row - 0.5
    warp_on_top = (column + row) % 4 < 2
    loop = np.where(warp_on_top, np.cos(np.pi * along), 0.85 * np.cos(np.pi * across))
    fluff = noise(rng, 256) * 0.6 + noise(rng, 90)
    level = (0.20 + 0.36 * loop) * np.where(warp_on_top, 1.0, 0.86) + 0.075 * fluff + 0.03 * noise(rng, 6)
    picture = Picture(tint(level, (1.0, 0.985, 0.96)))

    x, y = anywhere(flaw)
    if defect == "color":
        stain = ((0.55, 0.20, 0.18), (0.18, 0.20, 0.26), (0.62, 0.56, 0.40))[flaw.integers(3)]
        patch = blob(flaw, x, y, log_uniform(flaw, 8, 42), soft=5)
        picture.flaw(tint(0.35 + 1.6 * level, stain), patch, flaw.uniform(0.3, 0.75))
    elif defect == "cut":
        points = wander(flaw, x, y, 2 * np.pi * flaw.random(), flaw.uniform(30, 110), wiggle=0.25)
        lips = stroke(points, width=flaw.uniform(7, 11), taper=True)
        picture.flaw(tint(0.45 + 0.25 * fluff, (1, 0.98, 0.95)), lips, 0.75)
        picture.flaw((0.06, 0.06, 0.06), stroke(points, width=3.0, taper=True))
    elif defect == "hole":
        radius = log_uniform(flaw, 5, 16)
        picture.flaw(tint(0.5 + 0.2 * fluff, (1, 0.98, 0.95)), blob(flaw, x, y, radius * 1.35, 0.5), 0.8)
        picture.flaw((0.05, 0.05, 0.05), blob(flaw, x, y, radius, 0.4, soft=3))
    elif defect == "metal_contamination":
        points = wander(flaw, x, y, 2 * np.pi * flaw.random(), flaw.uniform(14, 45), wiggle=0.35)
        picture.flaw((0.1, 0.1, 0.1), stroke([(px + 1, py + 2) for px, py in points], width=3), 0.5)
        picture.flaw((0.82, 0.80, 0.76), stroke(points, width=2.2))
    elif defect == "thread":
        _thread(flaw, picture, ((0.72, 0.70, 0.66), (0.40, 0.14, 0.16), (0.16, 0.22, 0.38))[flaw.integers(3)], 2.6)
    return picture


def _mesh(u: Array, v: Array) -> tuple[Array, Array]:
    """Two families of crossing wires: their coverage and their brightness."""
    pitch, radius = 27.0, 4.4
    first = np.abs((u / pitch) % 1 - 0.5) * pitch
    second = np.abs((v / pitch) % 1 - 0.5) * pitch
    over = (np.floor(u / pitch) + np.floor(v / pitch)) % 2 < 1
    # Where wires cross, one lies on top; further away whichever is nearer is seen.
    nearest = np.where(first < radius, np.where(second < radius, np.where(over, first, second), first), second)
    bright = np.sqrt(np.clip(1 - (nearest / radius) ** 2, 0, 1))
    return cover(np.minimum(first, second) - radius), 0.30 + 0.42 * bright


def grid(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Woven wire mesh before a dark background, its wires along the diagonals."""
    u, v = frame(rng.uniform(-20, 20), rng.uniform(-20, 20), np.pi / 4 + rng.uniform(-0.03, 0.03))
    u, v = u + 0.5 * v * 0.35 + 1.2 * noise(rng, 4), v + 0.5 * u * 0.35 + 1.2 * noise(rng, 4)
    back = tint(0.16 + 0.025 * noise(rng, 6), (0.95, 1.0, 1.05))
    sheen = 1 + 0.10 * fractal(rng, 24, octaves=3)

    def draw(u: Array, v: Array, gap: Array | float = 0.0) -> tuple[Picture, Array]:
        coverage, bright = _mesh(u, v)
        coverage = coverage * (1 - gap)
        return Picture(back).paint(tint(bright * sheen, (0.98, 1.0, 1.0)), coverage), coverage

    picture, wires = draw(u, v)
    x, y = anywhere(flaw)
    if defect == "bent":
        reach, push, turn = flaw.uniform(10, 26), flaw.uniform(6, 11), 2 * np.pi * flaw.random()
        bump = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * reach**2)) * push
        other, moved = draw(u + bump * np.cos(turn), v + bump * np.sin(turn))
        picture.swap(other, (bump > 0.8) & ((wires > 0) | (moved > 0)))
    elif defect == "broken":
        other, _ = draw(u, v, gap := blob(flaw, x, y, log_uniform(flaw, 13, 40), 0.2, stretch=1.3, angle=np.pi * flaw.random()))
        picture.swap(other, (wires > 0) & (gap > 0))
    elif defect == "glue":
        drop = blob(flaw, x, y, log_uniform(flaw, 10, 36), 0.35, soft=4)
        picture.flaw(tint(0.5 + 0.1 * fractal(flaw, 12), (1.0, 0.93, 0.72)), drop, flaw.uniform(0.2, 0.55))
    elif defect == "metal_contamination":
        chip = blob(flaw, x, y, log_uniform(flaw, 5, 14), 0.6, stretch=1.4, angle=np.pi * flaw.random())
        picture.flaw(tint(0.5 + 0.35 * fractal(flaw, 40, octaves=2), (1, 0.98, 0.95)), chip)
    elif defect == "thread":
        _thread(flaw, picture, ((0.75, 0.75, 0.72), (0.36, 0.20, 0.15))[flaw.integers(2)], 2.2)
    return picture


def leather(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Brown leather: small pebbles between creases, over broad changes of tone."""
    pebbles = noise(rng, 46) + 0.55 * noise(rng, 90)
    height = 2.2 * np.sqrt(np.abs(pebbles)) + 0.5 * noise(rng, 128)
    tone = 0.42 + 0.035 * fractal(rng, 4, octaves=3) + 0.015 * noise(rng, 256)
    lit = tone * relief(height, 0.22) * (0.86 + 0.14 * np.clip(2 * np.abs(pebbles), 0, 1))
    picture = Picture(tint(lit, np.array((1.12, 0.70, 0.46)) + 0.04 * (rng.random(3) - 0.5)))

    x, y = anywhere(flaw)
    turn = 2 * np.pi * flaw.random()
    if defect == "color":
        dye = ((0.42, 0.08, 0.07), (0.55, 0.42, 0.25), (0.12, 0.13, 0.20))[flaw.integers(3)]
        stain = blob(flaw, x, y, log_uniform(flaw, 5, 30), 0.5, soft=6)
        picture.flaw(tint(lit / 0.42, dye), stain, flaw.uniform(0.35, 0.8))
    elif defect == "cut":
        points = wander(flaw, x, y, turn, flaw.uniform(20, 90), wiggle=0.12)
        picture.flaw((0.70, 0.50, 0.36), stroke([(px + 1, py + 1) for px, py in points], width=4.5, taper=True), 0.8)
        picture.flaw((0.10, 0.06, 0.05), stroke(points, width=2.8, taper=True))
    elif defect == "fold":
        u, v = frame(x, y, turn)
        v = v + 9 * noise(flaw, 4) + 1.5 * noise(flaw, 16)
        band = cover(np.abs(v) - flaw.uniform(5, 10), 5) * cover(np.abs(u) - flaw.uniform(45, 130), 30)
        picture.shade_flaw(1 + flaw.uniform(0.25, 0.55) * np.sin(np.clip(v / 3.5, -np.pi, np.pi)), band)
    elif defect == "glue":
        film = blob(flaw, x, y, log_uniform(flaw, 12, 46), 0.35, stretch=1.2, angle=turn, soft=3)
        sheen = np.clip(relief(smooth(film, 3) * 5 + 0.6 * height, 0.22), 0.8, 1.5)
        picture.flaw(tint(0.45 * sheen, (1.05, 0.78, 0.55)), film, flaw.uniform(0.25, 0.6))
    elif defect == "poke":
        radius = log_uniform(flaw, 3, 7)
        picture.flaw((0.66, 0.45, 0.30), blob(flaw, x + 1, y + 1, radius * 1.5, 0.3, soft=2), 0.7)
        picture.flaw((0.09, 0.05, 0.04), blob(flaw, x, y, radius, 0.25, soft=2))
    return picture


def _granite(rng: Rng, cells: int, threshold: float = 0.22) -> Array:
    """Light stone with dark blotches; brightness."""
    blotch = cover(threshold - fractal(rng, cells, octaves=3, gain=0.7), 0.25)
    fine = cover(0.35 - noise(rng, 80), 0.3)
    return 0.74 - 0.42 * blotch - 0.16 * fine * (1 - blotch) + 0.04 * fractal(rng, 8)


def tile(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Granite-like tile: light stone with dark blotches of every size."""
    stone = _granite(rng, 22)
    warm = np.array((1.0, 0.985, 0.955)) + 0.02 * (rng.random(3) - 0.5)
    picture = Picture(tint(stone, warm))

    x, y = anywhere(flaw)
    turn = 2 * np.pi * flaw.random()
    if defect == "crack":
        branches = range(flaw.integers(1, 4))
        lines = [wander(flaw, x, y, turn + k * flaw.uniform(0.6, 2.2), flaw.uniform(60, 260), 0.55, 26) for k in branches]
        picture.flaw((0.10, 0.10, 0.10), stroke(*lines, width=flaw.uniform(1.4, 3.0)), 0.85)
    elif defect == "glue_strip":
        u, v = frame(x, y, turn)
        strip = cover(box(u, v + 3 * noise(flaw, 6), flaw.uniform(35, 110), flaw.uniform(8, 20), 3), 2)
        picture.flaw(tint(0.66 + 0.03 * fractal(flaw, 20), (1.0, 0.97, 0.88)), strip, flaw.uniform(0.45, 0.85))
    elif defect == "gray_stroke":
        points = wander(flaw, x, y, turn, flaw.uniform(110, 300), 0.3, 18)
        brush = smooth(stroke(points, width=flaw.uniform(22, 52)), 2) * np.clip(0.8 + 0.35 * noise(flaw, 10, 60), 0, 1)
        picture.flaw((0.50, 0.50, 0.50), brush, flaw.uniform(0.18, 0.4))
    elif defect == "oil":
        puddle = blob(flaw, x, y, log_uniform(flaw, 18, 75), 0.3, soft=5)
        picture.shade_flaw(flaw.uniform(0.70, 0.86), puddle)
    elif defect == "rough":
        # The same stone, worn: other grains, a little flatter.
        patch = blob(flaw, x, y, log_uniform(flaw, 16, 60), 0.45, soft=5)
        picture.flaw(tint(0.10 + 0.80 * _granite(flaw, 48, 0.30), warm), patch, flaw.uniform(0.6, 0.95))
    return picture


def wood(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A board with upright grain: early and late wood, pores, broad changes of tone."""
    drift = 14 * noise(rng, 3, 4) + 3 * noise(rng, 4, 9)
    across = (X + drift + rng.uniform(0, 60)) / rng.uniform(15, 22)
    ring = across % 1
    late = np.clip(ring, 0, 1) ** 3 * cover(ring - 0.94, 0.12)
    pores = cover(0.62 - noise(rng, 18, 200), 0.3)
    fibre = noise(rng, 9, 128)
    level = 0.60 - 0.17 * late + 0.045 * fibre - 0.14 * pores + 0.04 * noise(rng, 3, 8) + 0.012 * noise(rng, 256)
    picture = Picture(mix((0.0, 0.0, 0.0), (1.12, 0.76, 0.46), level))

    x, y = anywhere(flaw)
    turn = 2 * np.pi * flaw.random()
    if defect == "color":
        ink = ((0.45, 0.10, 0.10), (0.15, 0.18, 0.36), (0.16, 0.28, 0.14))[flaw.integers(3)]
        blotch = blob(flaw, x, y, log_uniform(flaw, 7, 26), 0.35, soft=4)
        picture.flaw(tint(level / 0.6, ink), blotch, flaw.uniform(0.5, 0.85))
    elif defect == "hole":
        radius = log_uniform(flaw, 4, 11)
        u, v = frame(x, y)
        picture.flaw((0.42, 0.26, 0.15), cover(norm(u, v) - 1.3 * radius, 2), 0.7)
        picture.flaw(tint(0.10 + 0.05 * cover(v, 8), (1.0, 0.7, 0.5)), cover(norm(u, v) - radius, 1.5))
    elif defect == "liquid":
        puddle = blob(flaw, x, y, log_uniform(flaw, 20, 72), 0.35, soft=6)
        picture.shade_flaw(flaw.uniform(0.74, 0.90), puddle)
    elif defect == "scratch":
        shade = ((0.80, 0.62, 0.44), (0.24, 0.14, 0.09))[flaw.integers(2)]
        picture.flaw(shade, scratches(flaw, x, y, turn, 0.4, 190), flaw.uniform(0.5, 0.9))
    elif defect == "knot":
        # A branch cut through: dark rings that belong to no normal board of this kind.
        radius = log_uniform(flaw, 7, 24)
        u, v = frame(x, y)
        distance = norm(1.35 * u, v) + 0.12 * radius * noise(flaw, 12)
        rings = 0.36 + 0.07 * np.sin(distance * (9.0 / radius))
        picture.flaw(tint(rings, (1.1, 0.68, 0.40)), cover(distance - radius, 5), 0.85)
    return picture


TEXTURES = {
    "carpet": (carpet, ("color", "cut", "hole", "metal_contamination", "thread")),
    "grid": (grid, ("bent", "broken", "glue", "metal_contamination", "thread")),
    "leather": (leather, ("color", "cut", "fold", "glue", "poke")),
    "tile": (tile, ("crack", "glue_strip", "gray_stroke", "oil", "rough")),
    "wood": (wood, ("color", "hole", "knot", "liquid", "scratch")),
}
"""For each texture its recipe and its defect types."""
