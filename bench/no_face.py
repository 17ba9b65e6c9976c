"""How often is a picture without a face LIVE? Patterns of sixteen kinds, each made anew from its seed.

Each pattern is looked at once; where that scores it, it is played to a session for 3 s as a camera that shakes would
show it, with sensor noise on top. Sessions end the question: LIVE or not. `drawn pets` and `things` (two round things
over a bar) are drawings of faces in all but name, and stand apart in the sums::

    python bench/no_face.py --number 1000 --output bench/results/no_face.json

Bias: drawn by code, so no photograph is among them, and none was searched for: a pattern that is optimised against
detector and network is an attack, and this says nothing of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

import ratta
from ratta.metrics import clopper_pearson
from ratta.records import Verdict

Picture = npt.NDArray[np.uint8]
Maker = Callable[[np.random.Generator], Picture]
HEIGHT, WIDTH = 240, 320
SKIN_BGR = np.array([110.0, 140.0, 200.0])
LIKE_FACES = ("drawn pets", "things")


def _scaled(cells: npt.NDArray[np.generic], how: int = cv2.INTER_NEAREST) -> Picture:
    return cv2.resize(cells.astype(np.uint8), (WIDTH, HEIGHT), interpolation=how)


def _bytes(values: npt.NDArray[np.generic]) -> Picture:
    return np.clip(values, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> list[int]:
    return [int(level) for level in rng.integers(low, high, 3)]


def _ground(rng: np.random.Generator) -> Picture:
    return np.full((HEIGHT, WIDTH, 3), rng.integers(40, 220, 3), np.uint8)


def _grainy(rng: np.random.Generator, picture: Picture, *, blur: float = 0.0, grain: float = 5.0) -> Picture:
    soft = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    return _bytes(soft + rng.normal(0, grain, picture.shape))


def random_cells(rng: np.random.Generator) -> Picture:
    """Cells of 2 to 60 pixels, each of a random colour."""
    side = int(rng.choice([2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 60]))
    return _scaled(rng.integers(0, 256, (HEIGHT // side + 1, WIDTH // side + 1, 3)))


def cells_of_few_colours(rng: np.random.Generator) -> Picture:
    """Cells from a palette of two to five."""
    side, colours = int(rng.choice([4, 6, 8, 12, 16, 24, 32])), int(rng.integers(2, 6))
    palette = rng.integers(0, 256, (colours, 3))
    return _scaled(palette[rng.integers(0, colours, (HEIGHT // side + 1, WIDTH // side + 1))])


def skin_cells(rng: np.random.Generator) -> Picture:
    """Cells of skin in light and shade."""
    side = int(rng.choice([4, 6, 8, 12, 16, 24, 32]))
    shape = HEIGHT // side + 1, WIDTH // side + 1
    light = rng.normal(0, rng.uniform(15, 60), (*shape, 1))
    return _scaled(_bytes(SKIN_BGR + rng.normal(0, 20, 3) + light + rng.normal(0, 10, (*shape, 3))))


def noise_of_all_scales(rng: np.random.Generator) -> Picture:
    """Sum eight octaves: clouds, marble, grain."""
    total = np.zeros((HEIGHT, WIDTH, 3))
    channels, falling = int(rng.choice([1, 3])), rng.uniform(0.3, 1.5)
    for octave in range(8):
        side = 2**octave + 1
        plane = rng.normal(0, 1, (side, side * 4 // 3 + 1, channels)).astype(np.float32)
        wide = cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(HEIGHT, WIDTH, -1)
        total += wide / 2 ** (octave * falling)
    total = (total - total.mean()) / total.std() * rng.uniform(25, 80)
    return _bytes(total + (SKIN_BGR if rng.integers(2) else 128))


def pixel_noise(rng: np.random.Generator) -> Picture:
    """White noise, blurred by up to 6 pixels."""
    noise = rng.normal(SKIN_BGR, rng.uniform(10, 80), (HEIGHT, WIDTH, 3))
    return _bytes(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.1, 6)))


def _ellipses(
    rng: np.random.Generator, picture: Picture, number: int, sides: tuple[int, int], colour: Maker
) -> Picture:
    for _ in range(number):
        center = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        axes = int(rng.integers(*sides)), int(rng.integers(*sides))
        cv2.ellipse(picture, center, axes, float(rng.uniform(0, 180)), 0, 360, colour(rng).tolist(), -1)
    return picture


def blobs(rng: np.random.Generator) -> Picture:
    """Ellipses of random colours."""
    return _ellipses(rng, _ground(rng), int(rng.integers(5, 80)), (3, 60), lambda r: r.integers(0, 256, 3))


def foliage(rng: np.random.Generator) -> Picture:
    """Green leaves."""
    leaves = np.full((HEIGHT, WIDTH, 3), (20, 50, 30), np.uint8)
    return _ellipses(rng, leaves, 600, (2, 20), lambda r: _bytes(np.array([30, 110, 60]) + r.normal(0, 35, 3)))


def autumn(rng: np.random.Generator) -> Picture:
    """Red and brown leaves."""
    leaves = np.full((HEIGHT, WIDTH, 3), (20, 40, 60), np.uint8)
    return _ellipses(rng, leaves, 500, (2, 24), lambda r: _bytes(np.array([30, 90, 170]) + r.normal(0, 45, 3)))


def stripes(rng: np.random.Generator) -> Picture:
    """Gratings and checks of two colours, soft or hard, straight or wavy."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]

    def grating() -> npt.NDArray[np.float64]:
        angle, period = rng.uniform(0, np.pi), rng.uniform(3, 80)
        wave = rng.uniform(0, 3) * np.sin(y / rng.uniform(5, 50)) * rng.integers(2)
        return np.sin((x * np.cos(angle) + y * np.sin(angle)) / period * 2 * np.pi + wave)

    value = grating() if rng.integers(2) else grating() * grating()
    value = np.sign(value) if rng.integers(2) else value
    one, other = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    return _bytes(one + (other - one) * (value[..., None] + 1) / 2)


def text(rng: np.random.Generator) -> Picture:
    """Lines of letters and signs."""
    page, scale, y = np.full((HEIGHT, WIDTH, 3), (240, 245, 248), np.uint8), rng.uniform(0.4, 3), 10
    while y < HEIGHT + 20:
        line = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz   ABCO08@:;)("), 60))
        place, thick = (int(rng.integers(-20, 10)), y), max(1, int(scale * 1.5))
        cv2.putText(page, line, place, int(rng.integers(0, 8)), scale, _colour(rng, 0, 120), thick)
        y += int(26 * scale)
    return page


def gradients(rng: np.random.Generator) -> Picture:
    """Smooth ramps between a few colours, with and without grain."""
    side = int(rng.integers(2, 6))
    return _grainy(rng, _scaled(rng.integers(0, 256, (side, side, 3)), cv2.INTER_CUBIC), grain=rng.uniform(0.1, 12))


def hands(rng: np.random.Generator) -> Picture:
    """Draw an open hand."""
    picture, skin = _ground(rng), SKIN_BGR * rng.uniform(0.5, 1.2)
    x, y, radius = int(rng.integers(WIDTH // 3, 2 * WIDTH // 3)), int(rng.integers(120, 210)), int(rng.integers(25, 60))
    cv2.circle(picture, (x, y), radius, skin.tolist(), -1)
    for finger in range(5):
        angle = -np.pi / 2 + (finger - 2) * rng.uniform(0.25, 0.4) + rng.normal(0, 0.05)
        length = radius * rng.uniform(1.4, 2.2)
        tip = int(x + length * np.cos(angle)), int(y + length * np.sin(angle))
        cv2.line(picture, (x, y), tip, (skin * rng.uniform(0.9, 1.05)).tolist(), int(radius * 0.4))
        cv2.circle(picture, tip, int(radius * 0.14), (skin * 1.15).tolist(), -1)
    return _grainy(rng, picture, blur=1.2)


def drawn_pets(rng: np.random.Generator) -> Picture:
    """Draw a cat's or dog's head: ears, two eyes, a snout, fur."""
    picture = _ground(rng)
    fur = np.array([rng.uniform(40, 110), rng.uniform(70, 140), rng.uniform(100, 200)])
    x, y, r = int(WIDTH / 2 + rng.normal(0, 15)), int(HEIGHT / 2 + rng.normal(0, 10)), int(rng.integers(45, 85))
    apart = rng.uniform(0.3, 0.5)

    def part(dx: float, dy: float, rx: float, ry: float, colour: npt.NDArray[np.generic]) -> None:
        center, axes = (x + int(dx * r), y + int(dy * r)), (max(1, int(rx * r)), max(1, int(ry * r)))
        cv2.ellipse(picture, center, axes, 0, 0, 360, _bytes(colour).tolist(), -1)

    for side in (-1, 1):
        if rng.integers(2):
            ear = [[x + side * r, y - r // 10], [x + side * int(0.8 * r), y - int(1.3 * r)], [x + side * r // 5, y - r]]
            cv2.fillPoly(picture, [np.array(ear)], (fur * 0.8).tolist())
        else:
            part(side, 0, 0.3, 0.7, fur * 0.6)
    part(0, 0, 1, rng.uniform(0.8, 1.05), fur)
    for side in (-1, 1):
        part(side * apart, -0.25, 0.16, 0.16 * rng.uniform(0.6, 1.2), np.array([60, 180, 200]))
        part(side * apart, -0.25, 0.07, 0.13, np.array([10, 10, 10]))
    part(0, 0.45, 0.45, 0.35, fur * 1.25)
    part(0, 0.33, 0.12, 0.08, np.array([40, 30, 60]))
    cv2.ellipse(picture, (x, y + r // 2), (r // 4, r // 7), 0, 20, 160, (30, 20, 40), 2)
    return _bytes(_grainy(rng, picture, grain=3) + rng.normal(0, rng.uniform(4, 18), (HEIGHT, WIDTH, 1)))


def posters(rng: np.random.Generator) -> Picture:
    """Rectangles, discs, lines and large letters."""
    picture = _ground(rng)
    for _ in range(int(rng.integers(3, 14))):
        left, top = int(rng.integers(-40, WIDTH)), int(rng.integers(-40, HEIGHT))
        right, bottom = left + int(rng.integers(10, 220)), top + int(rng.integers(10, 160))
        colour, kind = _colour(rng), int(rng.integers(4))
        if kind == 0:
            cv2.rectangle(picture, (left, top), (right, bottom), colour, -1)
        elif kind == 1:
            cv2.circle(picture, ((left + right) // 2, (top + bottom) // 2), (right - left) // 3 + 1, colour, -1)
        elif kind == 2:
            cv2.line(picture, (left, top), (right, bottom), colour, int(rng.integers(1, 20)))
        else:
            words = "".join(rng.choice(list("ABCOSALE%018!"), 6))
            cv2.putText(picture, words, (left, bottom), int(rng.integers(8)), rng.uniform(0.8, 4), colour, 5)
    return _grainy(rng, picture, grain=4)


def shelves(rng: np.random.Generator) -> Picture:
    """Rows of book spines."""
    picture, y = _ground(rng), 0
    while y < HEIGHT:
        high, x = int(rng.integers(30, 90)), 0
        while x < WIDTH:
            wide = int(rng.integers(4, 28))
            picture[y : y + high, x : x + wide] = rng.integers(0, 256, 3)
            x += wide
        picture[y + high - 4 : y + high] = (30, 50, 80)
        y += high
    return _grainy(rng, picture)


def things(rng: np.random.Generator) -> Picture:
    """Sockets, buttons, the fronts of cars: two round things over a bar."""
    picture, body, dark = _ground(rng), _colour(rng, 60), _colour(rng, 0, 90)
    x, y, r = WIDTH // 2 + int(rng.normal(0, 20)), HEIGHT // 2 + int(rng.normal(0, 15)), int(rng.integers(40, 80))
    if rng.integers(2):
        cv2.rectangle(picture, (x - r, y - r), (x + r, y + r), body, -1)
    else:
        cv2.circle(picture, (x, y), r, body, -1)
    apart, hole = rng.uniform(0.3, 0.5), max(1, int(rng.uniform(0.08, 0.22) * r))
    for side in (-1, 1):
        cv2.circle(picture, (x + int(side * apart * r), y - r // 4), hole, dark, -1)
    kind = int(rng.integers(3))
    if kind == 0:
        cv2.rectangle(picture, (x - int(0.4 * r), y + int(0.4 * r)), (x + int(0.4 * r), y + r // 2), dark, -1)
    elif kind == 1:
        cv2.ellipse(picture, (x, y + r // 3), (int(0.4 * r), r // 4), 0, 0, 180, dark, int(rng.integers(2, 7)))
    return _grainy(rng, picture, blur=rng.uniform(0.3, 1.5), grain=6)


KINDS: dict[str, Maker] = {
    maker.__name__.replace("_", " "): maker
    for maker in (
        random_cells, cells_of_few_colours, skin_cells, noise_of_all_scales, pixel_noise, blobs, foliage, autumn,
        stripes, text, gradients, hands, drawn_pets, posters, shelves, things,
    )
}  # fmt: skip


def pattern(kind: str, seed: int) -> Picture:
    """Make a pattern, (240, 320, 3) uint8 BGR, from its kind and seed."""
    return KINDS[kind](np.random.default_rng([seed, list(KINDS).index(kind)]))


def play(engine: ratta.Engine, picture: Picture, *, start_s: float, seed: int) -> Verdict:
    """Show a picture to one attempt for 3 s, as a camera that shakes sees it."""
    rng = np.random.default_rng(seed)
    with engine.session() as session:
        for step in range(45):
            shift = tuple(int(v) for v in rng.integers(-2, 3, 2))
            frame = _bytes(np.roll(picture, shift, (0, 1)) + rng.normal(0, 2, picture.shape))
            if session.step(frame, t=start_s + step / 15).final:
                break
    return session.verdict


def measure(engine: ratta.Engine, kind: str, seeds: range) -> dict[str, int]:
    """Count what becomes of the patterns of one kind."""
    counts = {"patterns": len(seeds), "scored": 0, "live": 0}
    for seed in seeds:
        picture = pattern(kind, seed)
        if engine.score(picture).refused:
            continue
        counts["scored"] += 1
        counts["live"] += play(engine, picture, start_s=1e4 * seed, seed=seed) is Verdict.LIVE
    return counts


def main() -> None:
    """Measure every kind and write the counts with their upper bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1000, help="patterns of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = {}
    for kind in KINDS:
        engine = ratta.load(max_attempts=10**9)
        rows[kind] = measure(engine, kind, range(options.first_seed, options.first_seed + options.number))
        print(kind, rows[kind], flush=True)
    plain = [row for kind, row in rows.items() if kind not in LIKE_FACES]
    live, number = sum(row["live"] for row in plain), sum(row["patterns"] for row in plain)
    result = {
        "ratta": ratta.__version__,
        "model": engine.bundle.sha256,
        "first_seed": options.first_seed,
        "kinds": rows,
        "without_drawn_faces": {"patterns": number, "live": live, "upper_95": clopper_pearson(live, number)[1]},
    }
    print(json.dumps(result["without_drawn_faces"]))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
