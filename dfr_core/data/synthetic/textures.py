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
    Rng,
    X,
    Y,
    anywhere,
    blob,
    box,
    cells,
    cover,
    ellipse,
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
    level = (0.20 + 0.36 * loop) * np.where(warp_on_top, 1.0, 0.86) + 0.075 * fluff + 0.015 * noise(rng, 6)
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
        picture.flaw(tint(0.5 + 0.1 * fractal(flaw, 12), (1.0, 0.93, 0.72)), drop, flaw.uniform(0.35, 0.65))
    elif defect == "metal_contamination":
        chip = blob(flaw, x, y, log_uniform(flaw, 5, 14), 0.6, stretch=1.4, angle=np.pi * flaw.random())
        picture.flaw(tint(0.5 + 0.35 * fractal(flaw, 40, octaves=2), (1, 0.98, 0.95)), chip)
    elif defect == "thread":
        _thread(flaw, picture, ((0.75, 0.75, 0.72), (0.36, 0.20, 0.15))[flaw.integers(2)], 2.2)
    return picture


def leather(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Brown leather: creases in a net of two widths, lit from the upper right and falling off toward the lower left."""
    net, fine = cells(rng, 22, 17), cells(rng, 38, 30)
    depth = np.clip(0.85 + 0.35 * noise(rng, 7), 0.3, 1.2)
    height = -1.5 * depth * np.exp(-net / 1.8) - 0.5 * np.exp(-fine / 1.2) + 0.12 * noise(rng, 90)
    u, _ = frame(128, 128, -1.0 + rng.uniform(-0.2, 0.2))
    tone = 0.30 * (1 + rng.uniform(0.14, 0.24) * u / 256) * (1 + 0.012 * noise(rng, 4)) + 0.004 * noise(rng, 256)
    skin = np.array((1.37, 0.91, 0.75)) + 0.02 * (rng.random(3) - 0.5)
    lit = tone * relief(height, 0.48, -1.2)
    picture = Picture(tint(lit, skin))

    x, y = anywhere(flaw)
    turn = 2 * np.pi * flaw.random()
    if defect == "color":
        dye = ((0.42, 0.08, 0.07), (0.40, 0.42, 0.36), (0.12, 0.13, 0.20))[flaw.integers(3)]
        stain = blob(flaw, x, y, log_uniform(flaw, 5, 16), 0.5, soft=3)
        picture.flaw(tint(lit / 0.30, dye), stain, flaw.uniform(0.6, 0.9))
    elif defect == "cut":
        # A slit that gapes: the near lip catches the light, the far one lies in shade.
        points = wander(flaw, x, y, turn, log_uniform(flaw, 14, 60), wiggle=0.15)
        swell = smooth(stroke(points, width=5, taper=True), 1.2)
        picture.shade_flaw(relief(2 * swell, 0.5, -1.2), np.minimum(1, 1.5 * swell))
        picture.flaw((0.62, 0.46, 0.36), stroke([(px, py + 1.2) for px, py in points], width=2.6, taper=True), 0.7)
        picture.flaw((0.12, 0.07, 0.06), stroke(points, width=2.6, taper=True), 0.85)
    elif defect == "fold":
        u, v = frame(x, y, turn)
        v = v + 4 * noise(flaw, 4)
        long, wide = log_uniform(flaw, 16, 45), flaw.uniform(3, 6)
        ridge = np.exp(-((u / long) ** 2 + (v / wide) ** 2))
        # Lit on one flank; at the foot of the other lies a shadow, whichever way the fold runs.
        foot = 1 - 0.45 * np.exp(-((u / long) ** 2) - ((v - wide) / 1.6) ** 2)
        shading = np.clip(relief(flaw.uniform(6, 9) * ridge, 0.5, -1.2), 0.45, 1.7) * foot
        picture.shade_flaw(shading, cover(ellipse(u, v, 1.25 * long, 1.4 * wide), 3))
    elif defect == "glue":
        # Drops that dried: smooth where the leather is creased, a bright spot toward the lamp, a dark far edge.
        for _ in range(flaw.integers(1, 3)):
            radius = log_uniform(flaw, 5, 15)
            drop = blob(flaw, x, y, radius, 0.12, stretch=flaw.uniform(1.0, 1.3), angle=turn)
            dome = smooth(drop, radius / 3) * drop
            body = tone * np.clip(relief(1.6 * radius * dome, flaw.uniform(0.25, 0.6), -1.2), 0.5, 1.7)
            spot = np.exp(-(((X - x - 0.15 * radius) ** 2 + (Y - y + 0.45 * radius) ** 2) / (0.22 * radius) ** 2))
            picture.flaw(tint(body, skin * (1.1, 0.9, 0.8)) + flaw.uniform(0.1, 0.5) * spot, drop, flaw.uniform(0.75, 1.0))
            x, y = anywhere(flaw)
    elif defect == "poke":
        # A dimple around a small hole.
        radius = log_uniform(flaw, 5, 9)
        square = (X - x) ** 2 + (Y - y) ** 2
        picture.shade_flaw(relief(-0.8 * radius * np.exp(-square / (0.3 * radius**2)), 0.5, -1.2), cover(np.sqrt(square) - radius, 2))
        picture.flaw((0.62, 0.45, 0.36), blob(flaw, x, y + 1.5, 0.45 * radius, 0.3), 0.8)
        picture.flaw((0.10, 0.06, 0.05), blob(flaw, x, y, 0.26 * radius, 0.3))
    return picture


def _granite(rng: Rng, cells: int, threshold: float = 0.22) -> Array:
    """Light stone with dark blotches, everywhere alike; brightness."""
    blotch = cover(threshold - fractal(rng, cells, octaves=2, gain=0.6), 0.25)
    fine = cover(0.35 - noise(rng, 80), 0.3)
    return 0.74 - 0.42 * blotch - 0.16 * fine * (1 - blotch) + 0.012 * fractal(rng, 8)


def tile(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """Granite-like tile: light stone with dark blotches."""
    stone = _granite(rng, 30)
    warm = np.array((1.0, 0.985, 0.955)) + 0.01 * (rng.random(3) - 0.5)
    picture = Picture(tint(stone, warm))

    x, y = anywhere(flaw)
    turn = 2 * np.pi * flaw.random()
    if defect == "crack":
        branches = range(flaw.integers(1, 4))
        lines = [wander(flaw, x, y, turn + k * flaw.uniform(0.6, 2.2), flaw.uniform(80, 260), 0.3, 26) for k in branches]
        picture.flaw((0.10, 0.10, 0.10), stroke(*lines, width=flaw.uniform(1.6, 3.4)), 0.9)
    elif defect == "glue_strip":
        u, v = frame(x, y, turn)
        strip = cover(box(u, v + 3 * noise(flaw, 6), flaw.uniform(35, 110), flaw.uniform(8, 20), 3), 2)
        picture.flaw(tint(0.66 + 0.03 * fractal(flaw, 20), (1.0, 0.97, 0.88)), strip, flaw.uniform(0.6, 0.9))
    elif defect == "gray_stroke":
        # Paint: it hides the stone, more or less along the bristles' tracks.
        points = wander(flaw, x, y, turn, flaw.uniform(110, 300), 0.3, 18)
        brush = smooth(stroke(points, width=flaw.uniform(22, 52)), 1) * np.clip(0.85 + 0.3 * noise(flaw, 10, 60), 0, 1)
        picture.flaw(tint(flaw.uniform(0.42, 0.52), (1, 1, 1)), brush, flaw.uniform(0.6, 0.9))
    elif defect == "oil":
        puddle = blob(flaw, x, y, log_uniform(flaw, 18, 75), 0.3, soft=3)
        picture.shade_flaw(np.array((1.0, 0.97, 0.90))[:, None, None] * flaw.uniform(0.62, 0.80), puddle)
    elif defect == "rough":
        # The same stone with its polish gone: paler, and full of small pits.
        patch = blob(flaw, x, y, log_uniform(flaw, 16, 60), 0.45, soft=3)
        pits = 1 + 0.08 * noise(flaw, 128) + 0.08 * noise(flaw, 256)
        picture.flaw(tint((0.50 + 0.28 * stone) * pits, warm), patch, flaw.uniform(0.75, 1.0))
    return picture


def wood(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A board with upright grain: early and late wood, pores, broad changes of tone."""
    drift = 14 * noise(rng, 3, 4) + 3 * noise(rng, 4, 9)
    across = (X + drift + rng.uniform(0, 60)) / rng.uniform(15, 22)
    ring = across % 1
    late = np.clip(ring, 0, 1) ** 3 * cover(ring - 0.94, 0.12)
    pores = cover(0.62 - noise(rng, 18, 200), 0.3)
    fibre = noise(rng, 9, 128)
    level = 0.60 - 0.17 * late + 0.04 * fibre - 0.10 * pores + 0.02 * noise(rng, 3, 8) + 0.012 * noise(rng, 256)
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
        # Wet wood is darker and deeper in colour; the puddle's raised edge mirrors the lamp here and there.
        puddle = blob(flaw, x, y, log_uniform(flaw, 14, 55), 0.35, soft=2.5)
        picture.shade_flaw(np.array((1.0, 0.92, 0.80))[:, None, None] * flaw.uniform(0.62, 0.80), puddle)
        edge = np.clip(relief(6 * smooth(puddle, 2), 0.5) - 1.25, 0, 1) * puddle
        picture.flaw((0.98, 0.95, 0.90), np.minimum(1, 2.5 * edge), 0.8)
    elif defect == "scratch":
        shade = ((0.80, 0.62, 0.44), (0.24, 0.14, 0.09))[flaw.integers(2)]
        picture.flaw(shade, scratches(flaw, x, y, turn, 0.4, 190), flaw.uniform(0.6, 0.95))
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
