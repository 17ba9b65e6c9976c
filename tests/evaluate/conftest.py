"""A tiny network, small crops and sessions of them."""

from dataclasses import dataclass

import numpy as np
import pytest

from ratta.evaluate.methods import FrameBatch
from ratta.evaluate.sessions import CropSession

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from ratta.evaluate.methods.torch_source import TorchSource  # noqa: E402


@dataclass
class Output:
    """Logits and the last layer's input."""

    logits: torch.Tensor
    hidden: torch.Tensor


class TinyNet(nn.Module):
    """Convolution, batch normalisation, pooling and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Linear(4, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        pooled = self.norm(self.conv(x)).relu().mean((2, 3))
        hidden = self.first(pooled).relu()
        return Output(self.last(hidden), hidden)


def tiny_source() -> TorchSource:
    """A tiny network whose running statistics are near those of random frames, but not the same."""
    torch.manual_seed(3)
    source = TorchSource(module=TinyNet().eval())
    module, batch = source.module, random_batch(256, seed=77)
    with torch.no_grad():
        y = module.conv(source.inputs(batch))
        module.norm.running_mean += y.mean((0, 2, 3)) + 0.1 * y.std((0, 2, 3))
        module.norm.running_var.copy_(1.2 * y.var((0, 2, 3)))
        module.first.bias += 0.5
    spread(source, 3.0)
    return source


def spread(source: TorchSource, deviation: float) -> None:
    """Scale and shift the last layer so that margins on random frames have mean 0 and this deviation."""
    last = source.module.last
    with torch.no_grad():
        logits = source.module(source.inputs(random_batch(256, seed=77))).logits
        margin = logits[:, 1] - logits[:, 0]
        last.weight.mul_(deviation / margin.std())
        last.bias.mul_(deviation / margin.std())
        last.bias[0] += margin.mean() * deviation / margin.std()


@pytest.fixture
def source() -> TorchSource:
    """The tiny network as a source model."""
    return tiny_source()


def random_batch(n: int, seed: int = 0) -> FrameBatch:
    """Random crops of 8 x 8 with tones of their own, a frame every tenth of a second, all of one session."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(-60, 61, (n, 8, 8, 3))
    pixels = (rng.integers(20, 236, (n, 1, 1, 3)) + texture).clip(0, 255).astype(np.uint8)
    return FrameBatch(pixels, np.arange(n) / 10, np.zeros(n, np.int64))


@pytest.fixture
def frames():
    """Make random crops."""
    return random_batch


@pytest.fixture
def make_session():
    """Make a session of crops: live ones are bright, attacks are dark, so that a stream has something to learn."""

    def make(name: str, *, live: bool, subject: str = "ann", frames: int = 4, camera: str = "a", seed: int = 0):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(90 if live else 0, 256 if live else 170, (frames, 8, 8, 3), dtype=np.uint8)
        return CropSession(
            name=name,
            subject=subject,
            camera=camera,
            is_live=live,
            species="" if live else "print",
            pixels=pixels,
            refusals=np.array([""] * frames, np.str_),
            t=np.arange(frames) / 10,
        )

    return make


@pytest.fixture
def corpus(make_session):
    """Make `people` subjects with two live and two attack sessions each, in front of one camera."""

    def make(people: int, *, camera: str = "a", frames: int = 4):
        return tuple(
            make_session(
                f"{camera}/{person}/{kind}{k}",
                live=kind == "live",
                subject=f"{camera}-{person}",
                camera=camera,
                frames=frames,
                seed=1000 * person + 10 * k + (kind == "live"),
            )
            for person in range(people)
            for kind in ("live", "attack")
            for k in range(2)
        )

    return make
