"""Two synthetic objects that are put together from parts: transistor, zipper.

The recipes work as in :mod:`.round`.
"""

from __future__ import annotations

import numpy as np

from .engine import (
    SIZE,
    Array,
    Picture,
    Rng,
    X,
    Y,
    blob,
    box,
    cover,
    ellipse,
    fractal,
    frame,
    log_uniform,
    mix,
    noise,
    norm,
    place,
    relief,
    smooth,
    stroke,
    tint,
)


def transistor(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A transistor standing on perforated board: black case with a round metal eye, three legs into three holes."""
    x, y = rng.uniform(125, 131), rng.uniform(88, 94)
    board = 0.50 + 0.015 * fractal(rng, 6, 20) + 0.015 * noise(rng, 128)
    hole_u, hole_v = (X - x + 13) % 26 - 13, (Y - y - 114 + 13) % 26 - 13
    hole = norm(hole_u, hole_v)
    ground = tint(board, (0.86, 0.66, 0.46))
    ground = ground * (1 - 0.80 * cover(hole - 5, 1.5) + 0.14 * cover(np.abs(hole - 6.2) - 1, 1.5))
    grain, tilt, sway = noise(rng, 100), rng.uniform(-0.02, 0.02), rng.uniform(-1.2, 1.2, 3)

    def legs_down(cx: float, cy: float, angle: float) -> list[list[tuple[float, float]]]:
        tops = [place((26.0 * k, 46.0), cx, cy, angle) for k in (-1, 0, 1)]
        feet = [place((26.0 * k + sway[k + 1], 114.0), cx, cy, angle) for k in (-1, 0, 1)]
        return [[tops[k], ((tops[k][0] + feet[k][0]) / 2, (tops[k][1] + feet[k][1]) / 2), feet[k]] for k in range(3)]

    def draw(cx: float, cy: float, angle: float, legs: list[list[tuple[float, float]]]) -> tuple[Picture, Array]:
        picture = Picture(ground)
        wires = _stand(picture, legs, grain)
        u, v = frame(cx, cy, angle)
        case = box(u, v, 58, 50, 5)
        shadow = cover(box(u - 5, v - 6, 58, 50, 8), 8)
        plastic = 0.15 * relief(np.interp(-case, [0, 6], [0, 5]), 0.5) + 0.012 * grain
        picture.paint((0.10, 0.08, 0.06), 0.6 * shadow).paint(tint(plastic, (1.0, 1.0, 1.04)), cover(case))
        eye = ellipse(u, v + 18, 17)
        picture.paint(tint(0.52 + 0.04 * grain, (1, 0.98, 0.94)), cover(eye)).paint((0.08, 0.07, 0.07), cover(eye + 6))
        return picture, np.maximum(wires, np.maximum(shadow, cover(case)))

    legs = legs_down(x, y, tilt)
    picture, parts = draw(x, y, tilt, legs)
    k = int(flaw.integers(3))
    if defect in ("bent_lead", "cut_lead"):
        changed = [list(leg) for leg in legs]
        (ax, ay), (bx, by), (cx, cy) = changed[k]
        if defect == "bent_lead":
            push = flaw.choice([-1, 1]) * flaw.uniform(6, 20)
            changed[k] = [(ax, ay), (bx + push, by - 4), (cx + push * flaw.uniform(0.2, 1.3), cy - flaw.uniform(0, 14))]
        else:
            left = flaw.uniform(0.15, 0.75)
            changed[k] = [(ax, ay), (ax + left * (cx - ax), ay + left * (cy - ay))]
        picture.redraw(draw(x, y, tilt, changed)[0])
    elif defect == "damaged_case":
        side, along = int(flaw.integers(4)), flaw.uniform(-0.9, 0.9)
        px, py = place(((58, 50 * along), (-58, 50 * along), (58 * along, -50), (58 * along, 20))[side], x, y, tilt)
        u, v = frame(x, y, tilt)
        chip = blob(flaw, px, py, log_uniform(flaw, 6, 22), 0.5, 1.2, np.pi * flaw.random()) * cover(box(u, v, 58, 50, 5))
        picture.flaw(tint(0.36 + 0.12 * noise(flaw, 50), (1.0, 0.98, 0.95)), chip, flaw.uniform(0.7, 1.0))
    elif defect == "misplaced":
        # Logical: a perfect transistor in the wrong place, or none at all.
        if flaw.random() < 0.25:
            other, moved = Picture(ground), parts
        else:
            angle = tilt + flaw.choice([-1, 1]) * flaw.uniform(0.12, 0.6)
            cx, cy = x + flaw.uniform(-26, 26), y + flaw.uniform(-14, 34)
            other, moved = draw(cx, cy, angle, legs_down(cx, cy, angle))
        picture.swap(other, np.maximum(parts, moved) > 0.02)
    return picture


def _stand(picture: Picture, legs: list[list[tuple[float, float]]], grain: Array) -> Array:
    """Paint the legs of a transistor; returns where they and their shadow are, 0..1."""
    shadow = smooth(stroke(*[[(px + 4, py + 3) for px, py in leg] for leg in legs], width=8), 1.5)
    wires = stroke(*legs, width=8)
    glint = stroke(*[[(px - 1.5, py) for px, py in leg] for leg in legs], width=2.5)
    picture.paint((0.12, 0.09, 0.07), 0.6 * shadow)
    picture.paint(tint(0.55 + 0.05 * grain, (1, 0.98, 0.95)), wires).paint((0.93, 0.92, 0.90), 0.8 * glint)
    return np.maximum(wires, shadow)


def zipper(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A closed zipper: two rows of interlocking teeth between two strips of woven tape, on a light table."""
    x, phase, lean = rng.uniform(125, 131), rng.uniform(0, 12), rng.uniform(-0.015, 0.015)
    table = tint(0.84 + 0.006 * noise(rng, 5), (1, 1, 1))
    u, v = frame(x, 128, lean)
    weave = np.cos(np.pi * u / 2.0) * np.cos(np.pi * (v + u) / 2.6)
    tape_light = 0.17 + 0.035 * weave + 0.014 * noise(rng, 128) + 0.012 * noise(rng, 6)
    tape_light += 0.05 * cover(np.abs(np.abs(u) - 34) - 2, 2) * np.cos(v * 0.9)
    edge = 82 + 0.8 * noise(rng, 4, 40)
    pitch, count = 12.0, 26

    def draw(length: Array, gap: Array | float = 0.0, squash: Array | float = 0.0) -> Picture:
        picture = Picture(table).paint(tint(tape_light, (1.0, 1.0, 1.06)), cover(np.abs(u) - edge, 1.5))
        picture.paint(tint(0.72 + 0.02 * weave, (1, 1, 1)), cover(np.abs(u) - gap + 2, 1.5) if np.ndim(gap) else np.zeros((SIZE, SIZE)))
        for side in (0, 1):
            w = (u if side else -u) - gap
            row = (v + squash + phase + 128 + side * pitch / 2) / pitch
            k = np.floor(row).astype(int)
            along = (row - k - 0.5) * pitch
            reach = np.where((k >= 0) & (k < count), length[side, np.clip(k, 0, count - 1)], 1.0)
            tooth = box(w - 9 - 4 + 13 * (1 - reach), along, 13, 3.6 - 0.06 * w, 2.2)
            tooth = np.where(reach > 0, np.maximum(tooth, -w - 26 + 20), 9.0)
            metal = 0.46 * relief(np.interp(-tooth, [-1, 0, 2.5], [0, 0, 2.2]), 0.5) + 0.01 * weave
            picture.paint((0.05, 0.05, 0.05), 0.5 * cover(tooth - 1.5, 2)).paint(tint(metal, (1.0, 0.97, 0.88)), cover(tooth))
        return picture

    whole = np.ones((2, count))
    picture = draw(whole)
    at = flaw.uniform(-118, 118)
    if defect == "broken_teeth":
        length, side = whole.copy(), int(flaw.integers(2))
        first = int(flaw.integers(1, count - 5))
        for k in range(first, first + int(flaw.integers(1, 4))):
            length[side, k] = flaw.uniform(0.0, 0.6) * (flaw.random() < 0.8)
        picture.redraw(draw(length))
    elif defect == "split_teeth":
        opening = flaw.uniform(4, 11) * np.exp(-((v - at) ** 2) / (2 * flaw.uniform(16, 40) ** 2))
        picture.redraw(draw(whole, gap=np.where(opening > 0.6, opening, 0.0)))
    elif defect == "squeezed_teeth":
        push = flaw.choice([-1, 1]) * flaw.uniform(4, 8) * np.exp(-((v - at) ** 2) / (2 * flaw.uniform(8, 16) ** 2))
        push = push * (np.sign(u) == flaw.choice([-1, 1]))
        picture.redraw(draw(whole, squash=push))
    else:
        side = flaw.choice([-1, 1])
        if defect == "fabric_border":
            px, py = place((side * flaw.uniform(76, 84), at), x, 128, lean)
            bite = blob(flaw, px, py, log_uniform(flaw, 5, 17), 0.5, 1.3, np.pi * flaw.random()) * cover(np.abs(u) - edge, 1.5)
            picture.flaw(mix((0.30, 0.30, 0.32), (0.80, 0.80, 0.80), cover(-np.abs(u) + 77, 8)), bite)
        elif defect == "fabric_interior":
            px, py = place((side * flaw.uniform(38, 68), at), x, 128, lean)
            worn = blob(flaw, px, py, log_uniform(flaw, 4, 20), 0.5, 1.3, np.pi * flaw.random(), soft=3)
            picture.flaw(tint(0.34 + 0.16 * noise(flaw, 110), (1, 1, 1.05)), worn, flaw.uniform(0.6, 1.0))
    return picture
