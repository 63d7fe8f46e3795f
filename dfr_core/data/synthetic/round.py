"""Four synthetic objects that are round from where the camera stands: bottle, cable, hazelnut, metal nut.

The recipes work as in :mod:`.textures`: ``rng`` draws the normal image, ``flaw`` the defect.
A defect in the structure is made by drawing the whole scene once more with other parts and taking the
pixels of those parts from it.
"""

from __future__ import annotations

import numpy as np

from .engine import (
    Array,
    Picture,
    Rng,
    X,
    Y,
    blob,
    box,
    cover,
    domes,
    fractal,
    frame,
    lettering,
    log_uniform,
    mix,
    noise,
    norm,
    place,
    polygon,
    relief,
    sample,
    scratches,
    smooth,
    stroke,
    tint,
    wander,
    within,
)


def bottle(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A brown glass bottle from above, against the light: dark rings, a dark mouth, a thin rim where the lamp glints."""
    x, y = rng.uniform(127, 129, 2)
    u, v = frame(x, y)
    radius, turn = norm(u, v) * rng.uniform(0.995, 1.005), np.arctan2(v, u)
    ripple = radius + 0.9 * noise(rng, 6)
    level = np.interp(
        ripple,
        [0, 30, 52, 55, 57, 60, 68, 72, 77, 83, 88, 92, 96, 99, 101, 104, 109, 112],
        [0.16, 0.14, 0.13, 0.14, 0.23, 0.18, 0.20, 0.29, 0.26, 0.27, 0.28, 0.27, 0.26, 0.34, 0.42, 0.28, 0.25, 0.32],
    )
    # Glass is uneven: patches and streaks in the rings, grains at their inner edge.
    uneven = (1 + 0.14 * noise(rng, 5) + 0.12 * noise(rng, 20)) * cover(54 - radius, 4) + cover(radius - 54, 4)
    level = level * uneven + 0.08 * noise(rng, 128) * cover(np.abs(radius - 63) - 5, 3)
    glass = tint(level, (0.98, 0.99, 1.10)) + tint(0.06 * np.exp(-((radius - 56) ** 2) / 3), (1.0, 0.2, 0.0))
    # The rim shines amber, here more and there less, and glints where the glass is uneven.
    amber = np.clip(0.6 + 0.7 * noise(rng, 7) + 0.5 * noise(rng, 30), 0, 1.2) * np.exp(-((radius - 87 - 0.8 * noise(rng, 12)) ** 2) / 5)
    glints = np.zeros_like(amber)
    for at in (2.4, 2.8, 0.1, -0.3, 1.6):
        arc = (turn - at - rng.uniform(-0.4, 0.4) + np.pi) % (2 * np.pi) - np.pi
        spot = np.exp(-((arc / rng.uniform(0.03, 0.15)) ** 2) - ((radius - rng.uniform(74, 90)) ** 2) / 3)
        glints += rng.uniform(0.0, 0.9) * spot
    glass = glass + tint(amber, (0.52, 0.20, 0.06)) + tint(glints, (0.75, 0.65, 0.45))
    picture = Picture(np.full(3, 1.06)).paint(glass, cover(radius - 113.5, 7))

    if defect in ("broken_small", "broken_large"):
        # A piece broken out of the rim: facets of raw glass, most of them dark, a few mirroring the lamp in crumbs.
        small = defect == "broken_small"
        at, half, n = 2 * np.pi * flaw.random(), flaw.uniform(0.2, 0.7) if small else flaw.uniform(0.8, 2.2), 8 if small else 14
        angles = at + np.linspace(-half, half, n)
        outer, inner = flaw.uniform(76, 92 if small else 104, n), flaw.uniform(54, 66, n)
        outer[[0, -1]] = inner[[0, -1]] = 70
        grain, crumble = noise(flaw, 40), np.clip(0.5 + fractal(flaw, 32, octaves=2), 0, 1)
        for k in range(n - 1):
            corners = [(outer[k], angles[k]), (outer[k + 1], angles[k + 1]), (inner[k + 1], angles[k + 1]), (inner[k], angles[k])]
            facet = polygon([(x + r * np.cos(a), y + r * np.sin(a)) for r, a in corners])
            dark, glint = flaw.uniform(0.12, 0.34), flaw.uniform(0.3, 0.8) * (flaw.random() < 0.2)
            picture.flaw(tint(dark + 0.04 * grain, (0.98, 0.98, 1.04)) + tint(glint * crumble, (1, 0.96, 0.86)), facet, 0.95)
    elif defect == "contamination":
        # Something in the mouth: a grey film or a crumb of dirt, seldom much brighter than the dark around it.
        px, py = within(flaw, x, y, 46)
        film = blob(flaw, px, py, log_uniform(flaw, 10, 48), 0.3, stretch=1.3, angle=np.pi * flaw.random(), soft=2)
        film = film * cover(radius - (55 if flaw.random() < 0.7 else 82), 2)
        dirt = ((0.40, 0.39, 0.39), (0.34, 0.25, 0.18), (0.52, 0.51, 0.48))[flaw.integers(3)]
        picture.flaw(tint(1 + 0.15 * noise(flaw, 40) + 0.15 * noise(flaw, 128), dirt), film, log_uniform(flaw, 0.2, 0.85))
    return picture


def cable(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A cut three-core cable: grey sheath, three insulated wires, copper strands in each."""
    (x, y), angle = rng.uniform(125, 131, 2), rng.uniform(-0.06, 0.06)
    ground = tint(0.58 + 0.012 * fractal(rng, 5) + 0.015 * noise(rng, 128), (0.98, 1.0, 1.02))
    u, v = frame(x, y, angle)
    out = norm(u, v) + 1.2 * noise(rng, 6)
    sheath, bore = cover(out - 113), cover(out - 99)
    rubber = 0.70 + 0.10 * np.cos((out - 106) / 4.5) + 0.03 * noise(rng, 40)
    filler = tint(0.24 + 0.025 * fractal(rng, 20), (1, 1, 1))
    texture, centres, strands = noise(rng, 30), [], []
    hexagonal = [(8.2 * (i + 0.5 * j), 7.1 * j) for i in range(-4, 5) for j in range(-4, 5) if (i + 0.5 * j) ** 2 + 0.75 * j**2 < 11.5]
    for seat in -np.pi / 2 + 2 * np.pi / 3 * np.arange(3):
        centres.append(place((51 * np.cos(seat), 51 * np.sin(seat)), x + rng.uniform(-1.5, 1.5), y + rng.uniform(-1.5, 1.5), angle))
        twist = rng.uniform(0, 1)
        strands += [place(p, *(rng.uniform(-1.0, 1.0, 2) + centres[-1]), twist) for p in hexagonal]
    each = np.stack([norm(X - cx, Y - cy) for cx, cy in centres])
    nearest, away = each.argmin(axis=0), each.min(axis=0)
    height, owner = domes(strands, 4.5)
    shine = (0.50 + 0.50 * height) * rng.uniform(0.85, 1.08, len(strands))[owner]
    plastic = 0.82 + 0.25 * np.cos((away - 36) / 3.6) + 0.05 * texture
    insulation, inner = cover(away - 42), cover(away - 31)
    # What an empty seat shows: a bore, dark at the bottom, its lower right wall in the light.
    facing = np.clip(0.5 + (X + Y - np.array(centres).sum(1)[nearest]) / (2 * 1.41 * 42), 0, 1)
    bore_wall = 0.06 + 0.05 * facing
    colours = np.array([(0.30, 0.58, 0.28), (0.22, 0.36, 0.68), (0.55, 0.38, 0.28)])

    def draw(order: tuple[int, ...] = (0, 1, 2), wires: tuple[int, ...] = (1, 1, 1), copper: tuple[int, ...] = (1, 1, 1)) -> Picture:
        """``order`` are the colours of the three wires; 0 in ``wires`` or ``copper`` leaves that one out."""
        there = np.array(wires)[nearest]
        picture = Picture(ground).paint(tint(rubber, (1.0, 1.0, 1.0)), sheath).paint(filler, bore)
        picture.paint(tint(bore_wall + 0.22 * facing * cover(36 - away, 8), (1, 1, 1)), insulation * (1 - there))
        picture.paint(plastic * colours[list(order)].T[:, nearest], insulation * there)
        filled = there * np.array(copper)[nearest]
        picture.paint(tint(bore_wall + 0.12 * facing * cover(26 - away, 6), (1.0, 0.95, 0.9)), inner * (there - filled))
        picture.paint(tint(0.26 + 0.03 * texture, (1.0, 0.66, 0.42)), inner * filled)
        return picture.paint(tint(shine, (0.92, 0.62, 0.40)), inner * (height > 0) * filled)

    picture = draw()
    k = int(flaw.integers(3))
    (cx, cy), away = centres[k], each[k]
    others = tuple(int(j != k) for j in range(3))
    if defect == "cable_swap":
        # Logical: a perfect wire, but the colour of its neighbour.
        order = [0, 1, 2]
        order[k] = (k + 1 + int(flaw.integers(2))) % 3
        picture.swap(draw(order=tuple(order)), (away < 42.5) & (away > 30.5))
    elif defect == "missing_cable":
        picture.swap(draw(wires=others), away < 42.5)
    elif defect == "missing_wire":
        picture.redraw(draw(copper=others))
    elif defect == "bent_wire":
        _bend(picture, flaw, cx, cy)
    elif defect == "cut_insulation":
        at, size, on_sheath = 2 * np.pi * flaw.random(), log_uniform(flaw, 4, 15), flaw.random() < 0.5
        px, py = place((106 if on_sheath else 37, 0), x if on_sheath else cx, y if on_sheath else cy, at)
        notch = blob(flaw, px, py, size, 0.4, stretch=1.4, angle=at + flaw.uniform(-0.5, 0.5))
        notch = notch * (sheath * (1 - bore) if on_sheath else cover(30.5 - away))
        picture.flaw(tint(0.20 + 0.08 * noise(flaw, 40), (1, 0.97, 0.92)), notch, flaw.uniform(0.55, 0.9))
    return picture


def _bend(picture: Picture, flaw: Rng, cx: float, cy: float) -> None:
    """One to three strands of copper that stick out near (cx, cy), with their shadow."""
    lines = []
    for _ in range(flaw.integers(1, 4)):
        px, py = within(flaw, cx, cy, 22)
        lines.append(wander(flaw, px, py, 2 * np.pi * flaw.random(), flaw.uniform(24, 70), 0.25))
    shadow = stroke(*[[(px + 2, py + 3) for px, py in line] for line in lines], width=5)
    picture.flaw((0.05, 0.04, 0.03), shadow, 0.5).flaw((0.72, 0.47, 0.30), stroke(*lines, width=5.5))
    picture.flaw((0.95, 0.72, 0.52), stroke(*[[(px - 1, py - 1) for px, py in line] for line in lines], width=1.8), 0.8)


def hazelnut(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A hazelnut in any position: brown shell with fine stripes from tip to base, a pale rough base."""
    x, y, angle = rng.uniform(123, 133), rng.uniform(123, 133), 2 * np.pi * rng.random()
    u, v = frame(x, y, angle)
    size, turn = rng.uniform(80, 90), np.arctan2(v, u)
    lean = rng.uniform(0.02, 0.06)
    outline = size * (1 + lean * np.cos(2 * turn) - 0.035 * np.cos(3 * turn) + 0.03 * np.clip(np.cos(turn), 0, 1) ** 12)
    inside = norm(u, v) - outline
    depth = np.sqrt(np.clip(1 - (norm(u, v) / outline) ** 2, 0, 1))
    # Meridians: stripes that narrow toward tip and base.
    girth = np.sqrt(np.clip(1.25 - (u / size) ** 2, 0.15, None))
    stripes = sample(fractal(rng, 52, 3, octaves=2) + 0.9 * noise(rng, 110, 5), u, v / girth)
    bump = sample(fractal(rng, 12, octaves=3), u, v)
    light = 0.30 + 0.42 * depth + 0.22 * np.clip(depth * 0.5 - (X - x + Y - y) / (3.2 * size), -0.5, 0.6)
    shell = mix((0.42, 0.20, 0.09), (0.80, 0.50, 0.27), np.clip(0.5 + 0.24 * stripes + 0.13 * bump, 0, 1)) * (1.35 * light)
    base = cover(u + size * 0.60 - 0.12 * v**2 / size + 4 * bump, 4)
    rough = noise(rng, 70) + noise(rng, 128)
    shell = mix(shell, tint((0.62 + 0.07 * rough + 0.05 * bump) * 1.35 * light, (0.92, 0.74, 0.54)), base)
    picture = Picture(tint(0.055 + 0.012 * noise(rng, 20), (1, 1, 1))).paint(shell, cover(inside, 1.5))

    px, py = within(flaw, x, y, 0.72 * size)
    way = 2 * np.pi * flaw.random()
    if defect == "crack":
        points = wander(flaw, px, py, way, flaw.uniform(40, 130), 0.4, 20)
        on = cover(inside + 2)
        picture.flaw((0.85, 0.66, 0.45), stroke([(a + 1.5, b + 1.5) for a, b in points], width=flaw.uniform(2, 4), taper=True) * on, 0.6)
        picture.flaw((0.07, 0.04, 0.03), stroke(points, width=flaw.uniform(1.8, 5), taper=True) * on)
    elif defect == "cut":
        points = wander(flaw, px, py, way, flaw.uniform(18, 60), 0.06)
        picture.flaw((0.80, 0.62, 0.44), stroke(points, width=flaw.uniform(2, 4), taper=True) * cover(inside + 2), flaw.uniform(0.5, 0.9))
    elif defect == "hole":
        px, py = within(flaw, x, y, 0.6 * size)
        radius = log_uniform(flaw, 3.5, 9)
        picture.flaw((0.66, 0.48, 0.32), blob(flaw, px, py, 1.35 * radius, 0.25, soft=2), 0.7)
        picture.flaw((0.04, 0.03, 0.02), blob(flaw, px, py, radius, 0.2, soft=2))
    elif defect == "print":
        px, py = within(flaw, x, y, 0.35 * size)
        ink = lettering(("RX", "EK", "FL")[flaw.integers(3)], px, py, flaw.uniform(24, 46), way, flaw.uniform(3, 5))
        picture.flaw((0.90, 0.88, 0.84), ink * np.clip(0.75 + 0.5 * noise(flaw, 60), 0.2, 1) * cover(inside + 2), flaw.uniform(0.45, 0.9))
    return picture


def metal_nut(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A stamped nut with four hooked wings around a threaded hole, in any position."""
    x, y, angle = rng.uniform(124, 132), rng.uniform(124, 132), 2 * np.pi * rng.random()
    ground = tint(0.13 + 0.008 * fractal(rng, 8) + 0.01 * noise(rng, 128), (0.95, 1.0, 1.05))
    brushed = noise(rng, 100) + 0.8 * noise(rng, 30) + 0.5 * fractal(rng, 6)
    hue = 0.03 * (rng.random() - 0.5)

    def silhouette(wings: tuple[float, ...] = (1, 1, 1, 1), mirrored: bool = False) -> tuple[Array, Array]:
        """Signed distance to the outline, and the distance from the axis. A wing of length 0 is gone."""
        u, v = frame(x, y, angle)
        u = -u if mirrored else u
        # Each pixel is turned into the first wing's quarter, where (a, b) run along and across the wing.
        quarter = np.where(np.abs(u) > np.abs(v), np.where(u > 0, 0, 2), np.where(v > 0, 1, 3))
        a, b = np.maximum(np.abs(u), np.abs(v)), np.choose(quarter, [v, -u, -v, u])
        length = np.array(wings, dtype=np.float64)[quarter]
        wing = box(a - 60, b - 8, 36 * length, 27, 4)
        hook = box(a - 40, b - 29 - 14 * length, 52 * length - 16, 9, 5)
        disc = norm(u, v)
        return np.minimum(disc - 74, np.where(length > 0, np.minimum(wing, hook), 99.0)), disc

    def draw(shape: Array, out: Array) -> Picture:
        metal = 0.52 + 0.045 * brushed
        thickness = np.interp(-shape, [0, 3, 8], [0, 3, 4]) + np.interp(out, [30, 34, 40, 47, 50], [-6, -3, 2, 2, 0])
        face = metal * relief(smooth(thickness, 1.0), 0.55)
        thread = 0.28 + 0.22 * np.sin(out * 1.7)
        picture = Picture(ground).paint(tint(face, (1.0 + hue, 1.0, 0.98 - hue)), cover(shape))
        return picture.paint(tint(thread, (1, 1, 1)), cover(out - 33)).paint((0.10, 0.10, 0.10), cover(out - 25))

    shape, out = silhouette()
    picture = draw(shape, out)
    if defect == "flip":
        # Logical: a perfect nut lying on its other side; the hooks point the other way.
        other, _ = silhouette(mirrored=True)
        picture.redraw(draw(other, out))
    elif defect == "bent":
        # A wing bent up or down looks shorter, and turned toward the lamp or away from it.
        wings, k = [1.0, 1.0, 1.0, 1.0], int(flaw.integers(4))
        wings[k] = (0.4, 0.55, 0.75)[flaw.integers(3)]
        other, _ = silhouette(tuple(wings))
        bent = draw(other, out)
        u, v = frame(x, y, angle)
        bent.shade((0.6, 1.35)[flaw.integers(2)], cover(66 - (u, v, -u, -v)[k], 8) * cover(other))
        picture.redraw(bent)
    elif defect in ("color", "scratch"):
        at, far = 2 * np.pi * flaw.random(), flaw.uniform(44, 74)
        px, py = x + far * np.cos(at), y + far * np.sin(at)
        on = cover(np.maximum(shape, 40 - out) + 1)
        if defect == "color":
            dye = ((0.25, 0.42, 0.75), (0.62, 0.30, 0.22), (0.80, 0.72, 0.45))[flaw.integers(3)]
            stain = blob(flaw, px, py, log_uniform(flaw, 6, 26), 0.45, soft=4) * on
            picture.flaw(tint(1 + 0.15 * noise(flaw, 30), dye), stain, flaw.uniform(0.35, 0.7))
        else:
            shade = ((0.85, 0.85, 0.84), (0.25, 0.24, 0.23))[flaw.integers(2)]
            picture.flaw(shade, scratches(flaw, px, py, at, 1.6, 80) * on, flaw.uniform(0.5, 0.9))
    return picture
