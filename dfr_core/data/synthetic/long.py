"""Four synthetic objects that are longer than wide: capsule, pill, screw, toothbrush.

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
    domes,
    ellipse,
    frame,
    lettering,
    log_uniform,
    mix,
    noise,
    norm,
    place,
    relief,
    sample,
    scratches,
    smooth,
    stroke,
    tint,
    wander,
    within,
)


def capsule(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A lying two-piece capsule, half black and half orange, with a printed number."""
    x, y, angle = rng.uniform(125, 131), rng.uniform(125, 131), rng.uniform(-0.05, 0.05)
    ground = tint(0.86 + 0.006 * noise(rng, 4), (1.0, 1.0, 0.99))
    mottle, join = noise(rng, 40), rng.uniform(-6, 6)

    def draw(pinch: Array | float = 0.0, imprint: tuple[str, float, float] | None = ("500", 0.0, 0.0)) -> tuple[Picture, Array]:
        u, v = frame(x, y, angle)
        half = 41 + 1.5 * (u < join) - pinch
        body = norm(np.maximum(np.abs(u) - 62, 0), v * 41 / half) - 41
        across = np.clip(v / half, -1, 1)
        round_light = 0.42 + 0.62 * np.sqrt(np.clip(1 - across**2, 0, 1)) - 0.22 * across
        gloss = 0.55 * np.exp(-((across + 0.52) ** 2) / 0.012) * cover(np.abs(u) - 66, 20)
        colour = mix((0.20, 0.18, 0.18), (0.86, 0.40, 0.16), cover(join - u))
        skin = colour * round_light * (1 + 0.03 * mottle) + 0.65 * gloss
        skin *= 1 - 0.35 * np.exp(-((u - join - 1) ** 2) / 3)
        picture = Picture(ground).paint((0.55, 0.55, 0.55), 0.6 * cover(ellipse(X - x - 4, Y - y - 40, 98, 12), 14))
        picture.paint(skin, cover(body))
        if imprint:
            text, du, dv = imprint
            at = place((join + 48 + du, 2 + dv), x, y, angle)
            picture.paint((0.95, 0.92, 0.88), 0.85 * lettering(text, *at, 24, angle, 3.4))
        return picture, body

    picture, body = draw()
    on = cover(body + 2)
    px, py = place((flaw.uniform(-80, 80), flaw.uniform(-28, 28)), x, y, angle)
    if defect == "crack":
        points = wander(flaw, px, py, np.pi / 2 + flaw.uniform(-0.5, 0.5), flaw.uniform(22, 70), 0.5, 18)
        picture.flaw((0.95, 0.85, 0.72), stroke([(a + 1.5, b) for a, b in points], width=2.4, taper=True) * on, 0.6)
        picture.flaw((0.08, 0.06, 0.05), stroke(points, width=2.2, taper=True) * on, 0.9)
    elif defect == "faulty_imprint":
        other = (None, ("50", 0, 0), ("500", 14, flaw.uniform(-12, 12)), ("505", 0, 0))[flaw.integers(4)]
        picture.redraw(draw(imprint=other)[0], 0.02)
    elif defect == "poke":
        radius = log_uniform(flaw, 3, 7)
        picture.flaw((0.97, 0.90, 0.80), blob(flaw, px + 1, py + 1, 1.4 * radius, 0.3, soft=2) * on, 0.5)
        picture.flaw((0.10, 0.07, 0.06), blob(flaw, px, py, radius, 0.3, soft=2) * on, 0.85)
    elif defect == "scratch":
        picture.flaw((0.93, 0.82, 0.72), scratches(flaw, px, py, angle, 0.6, 90) * on, flaw.uniform(0.35, 0.7))
    elif defect == "squeeze":
        u, v = frame(x, y, angle)
        dent = flaw.uniform(5, 13) * np.exp(-((u - flaw.uniform(-70, 70)) ** 2) / (2 * flaw.uniform(9, 20) ** 2)) * (v < 0)
        picture.redraw(draw(pinch=dent)[0])
    return picture


def pill(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A white oblong tablet with red specks, two letters and a groove pressed into it."""
    x, y, angle = rng.uniform(125, 131), rng.uniform(125, 131), rng.uniform(-0.04, 0.04)
    ground = tint(0.07 + 0.005 * noise(rng, 8), (1, 1, 1))
    u, v = frame(x, y, angle)
    body = (np.abs(u / 104) ** 2.3 + np.abs(v / 62) ** 2.3) ** (1 / 2.3)
    inside = (body - 1) * 62
    dots = rng.random((130, 2)) * SIZE
    specks = np.minimum(1, 1.5 * domes(dots[:60], 2.1)[0]) + 0.7 * domes(dots[60:], 1.4)[0]
    powder = 0.012 * noise(rng, 128) + 0.012 * noise(rng, 40)
    dome = 9 * np.sqrt(np.clip(1 - body, 0, 1)) + 2.0 * np.interp(inside, [-9, -5], [0, 1])

    def draw(text: str = "FF", shift: tuple[float, float] = (0.0, 0.0), tone: tuple[float, ...] = (0.97, 0.95, 0.90)) -> Picture:
        pressed = lettering(text, *place((52 + shift[0], shift[1]), x, y, angle), 42, angle, 5.5) if text else np.zeros((SIZE, SIZE))
        groove = 0.9 * cover(np.abs(u) - 2.5, 3)
        face = 0.84 * relief(dome - 1.8 * smooth(np.maximum(pressed, groove), 0.8), 0.28) + powder
        picture = Picture(ground).paint(tint(face, tone), cover(inside, 1.5))
        return picture.paint(tint(face, (0.85, 0.22, 0.20)), 0.75 * np.clip(specks, 0, 1) * cover(inside + 3))

    picture = draw()
    px, py = within(flaw, x, y, 92, 52, angle)
    on = cover(inside + 2)
    if defect == "color":
        dye = ((0.75, 0.20, 0.20), (0.80, 0.70, 0.35), (0.45, 0.42, 0.40))[flaw.integers(3)]
        picture.flaw(dye, blob(flaw, px, py, log_uniform(flaw, 4, 24), 0.45, soft=5) * on, flaw.uniform(0.35, 0.7))
    elif defect == "crack":
        # A piece broken off the rim, or a crack across the face.
        at = 2 * np.pi * flaw.random()
        px, py = place((98 * np.cos(at), 58 * np.sin(at)), x, y, angle)
        lost = blob(flaw, px, py, log_uniform(flaw, 7, 22), 0.5) * cover(inside, 1.5)
        picture.flaw(tint(0.55 + 0.10 * noise(flaw, 50), (0.97, 0.94, 0.88)), lost)
        points = wander(flaw, px, py, angle + at + flaw.uniform(-0.7, 0.7), flaw.uniform(60, 130), 0.4, 18)
        picture.flaw((0.30, 0.28, 0.26), stroke(points, width=1.8, taper=True) * on, 0.85)
    elif defect == "faulty_imprint":
        choice = (("FE", (0, 0)), ("", (0, 0)), ("FF", (-14, 8)), ("LF", (0, 0)))[flaw.integers(4)]
        picture.redraw(draw(*choice), 0.012)
    elif defect == "pill_type":
        # Logical: the whole tablet is of the wrong, slightly yellower kind.
        picture.swap(draw(tone=((1.0, 0.90, 0.68), (0.90, 0.93, 0.98), (0.98, 0.84, 0.80))[flaw.integers(3)]), inside < 0.5)
    elif defect == "scratch":
        picture.flaw((0.50, 0.47, 0.44), scratches(flaw, px, py, 0, np.pi, 80) * on, flaw.uniform(0.45, 0.85))
    return picture


def screw(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """A wood screw in any position on a light ground: flat head, smooth neck, thread, tip."""
    x, y, angle = rng.uniform(123, 133), rng.uniform(123, 133), 2 * np.pi * rng.random()
    ground = tint(0.78 + 0.006 * noise(rng, 5), (1.0, 1.0, 1.0))
    u, v = frame(x, y, angle)
    pitch, phase = 9.5, rng.random()
    wear = sample(noise(rng, 60, 20), u, v) + noise(rng, 90)

    def draw(crest: Array | float = 1.0, bend: Array | float = 0.0, head: float = 1.0) -> tuple[Picture, Array]:
        w = v - bend
        turn = u / pitch + phase + 0.055 * w
        tooth = np.abs(2 * ((turn + 0.5 * (w > 0)) % 1) - 1)
        core = np.interp(u, [-104, -103, -97, -82, -32, -30, 84, 108], [0, 24 * head, 24 * head, 10, 9.5, 7.5, 7.0, 0.6])
        flank = np.interp(u, [-36, -28, 80, 106], [0, 6.5, 6.5, 1.0]) * crest
        half = core + flank * tooth
        across = np.clip(w / np.maximum(half, 1), -1, 1)
        shine = 0.20 + 0.34 * np.sqrt(1 - across**2) + 0.34 * np.exp(-((across + 0.35) ** 2) / 0.05)
        ridge = np.cos(2 * np.pi * (turn + 0.25)) * np.interp(u, [-34, -28, 90, 104], [0, 1, 1, 0.3]) * crest
        steel = shine * (1 + 0.42 * ridge + 0.03 * wear) * np.interp(u, [-104, -98, -96, -90], [1.25, 1.25, 0.75, 1.0])
        solid = np.maximum(np.abs(w) - half, np.abs(u - 2) - 107)
        return Picture(ground).paint(tint(steel, (1.0, 0.97, 0.92)), cover(solid, 1.6)), solid

    picture, solid = draw()
    on = cover(solid + 1)
    if defect == "manipulated_front":
        start, amount = flaw.uniform(55, 92), flaw.choice([-1, 1]) * flaw.uniform(5, 16)
        picture.redraw(draw(bend=amount * (np.clip(u - start, 0, None) / (108 - start)) ** 2)[0])
    elif defect == "scratch_head":
        px, py = place((-100 + flaw.uniform(-2, 6), flaw.uniform(-16, 16)), x, y, angle)
        chip = blob(flaw, px, py, log_uniform(flaw, 3, 8), 0.5, 1.3, angle + flaw.uniform(0, 3)) * on
        picture.flaw(tint(0.40 + 0.25 * noise(flaw, 70), (1, 0.97, 0.93)), chip)
    elif defect == "scratch_neck":
        px, py = place((flaw.uniform(-78, -36), flaw.uniform(-6, 6)), x, y, angle)
        shade = ((0.92, 0.90, 0.86), (0.16, 0.15, 0.14))[flaw.integers(2)]
        picture.flaw(shade, scratches(flaw, px, py, angle, 1.6, 32) * on, 0.8)
    elif defect in ("thread_side", "thread_top"):
        # Crests filed down: seen at the outline (side), or from above, where only the shading tells (top).
        at, reach = flaw.uniform(-15, 75), flaw.uniform(4, 13)
        near = cover(np.abs(u - at) - reach, 3)
        changed, _ = draw(crest=1 - flaw.uniform(0.6, 1.0) * near)
        side = flaw.choice([-1, 1]) * v > 3 if defect == "thread_side" else np.abs(v) < 9
        picture.swap(changed, side & picture.changed(changed))
    return picture


def toothbrush(rng: Rng, flaw: Rng, defect: str | None) -> Picture:
    """The head of a toothbrush seen from above: rows of bristle tufts on an oval plate, and the neck."""
    x, y, angle = rng.uniform(126, 130), rng.uniform(121, 125), rng.uniform(-0.03, 0.03)
    u, v = frame(x, y, angle)
    ground = tint(0.10 + 0.006 * noise(rng, 5), (0.95, 0.98, 1.05))
    plate = np.minimum(box(u, v, 52, 104, 50), box(u, v - 120, 15, 40, 8))
    plastic = 0.80 * relief(np.interp(-plate, [0, 7], [0, 6]), 0.30) + 0.01 * noise(rng, 60)
    tufts = [(i, j) for j in range(-5, 6) for i in range(4) if abs(j) < 5 or i in (1, 2)]
    blue = np.array([i in (1, 2) or abs(j) == 5 for i, j in tufts])
    tones = np.where(blue, [[0.36], [0.62], [0.90]], [[0.96], [0.96], [0.94]])
    tufts = [place((20.0 * (i - 1.5), 18.2 * j), x, y, angle) for i, j in tufts]
    each = 24
    number = np.repeat(np.arange(len(tufts)), each)
    spots = np.array(tufts)[number] + [within(rng, 0, 0, 7.0) for _ in number]
    spots += rng.uniform(-1.2, 1.2, (len(tufts), 2))[number]
    own_light = rng.uniform(0.75, 1.10, len(number))

    def draw(spots: Array, present: Array) -> tuple[Picture, Array]:
        height, owner = domes(spots[present], 2.4)
        owner = np.where(owner < 0, -1, np.flatnonzero(present)[owner])
        shadow = domes(np.array(tufts)[np.unique(number[present])], 10.5)[0]
        picture = Picture(ground).paint(tint(plastic, (0.66, 0.74, 0.80)), cover(plate, 1.5))
        picture.paint((0.20, 0.24, 0.30), 0.55 * np.minimum(1, 1.5 * shadow) * cover(plate, 1.5))
        bristle = (0.25 + 0.75 * height) * own_light[owner] * tones[:, number[owner]]
        return picture.paint(bristle, np.minimum(1, 1.6 * height)), owner

    everything = np.ones(len(number), dtype=bool)
    picture, owner = draw(spots, everything)
    if defect == "bent_bristles":
        # The bristles around one point lean over, more the nearer they are.
        cx, cy = within(flaw, x, y, 36, 92, angle)
        away = norm(*(spots - (cx, cy)).T)
        reach, push, way = flaw.uniform(8, 22), flaw.uniform(7, 16), 2 * np.pi * flaw.random()
        lean = push * np.exp(-(away**2) / (2 * reach**2)) * (0.4 + 0.6 * flaw.random(len(away)))
        lean[lean < 1.2] = 0
        picture.redraw(draw(spots + np.outer(lean, (np.cos(way), np.sin(way))), everything)[0])
    elif defect == "missing_tuft":
        first = int(flaw.integers(len(tufts)))
        lost = (number >= first) & (number < first + int(flaw.integers(1, 4)))
        picture.redraw(draw(spots, ~lost)[0], 0.02)
    elif defect == "contamination":
        px, py = within(flaw, x, y, 38, 95, angle)
        lump = blob(flaw, px, py, log_uniform(flaw, 4, 17), 0.5, stretch=1.2, angle=np.pi * flaw.random(), soft=2)
        dirt = ((0.45, 0.36, 0.22), (0.85, 0.85, 0.80), (0.25, 0.34, 0.18))[flaw.integers(3)]
        picture.flaw(tint(1 + 0.18 * noise(flaw, 50), dirt), lump, flaw.uniform(0.55, 0.95))
    return picture
