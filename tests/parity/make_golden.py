"""Write `tests/inference/golden_gradients.npz`: gradients of the seeded network's tail, as torch finds them in float64.

Run from the repository root, with torch installed: `PYTHONPATH=. python tests/parity/make_golden.py`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch

from ratta.inference.backward import Tail

TESTS = Path(__file__).parents[1]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main():
    net = load(TESTS / "inference" / "conftest.py").network(64)
    reference = load(TESTS / "parity" / "test_gradients.py")
    rng = np.random.default_rng(11)
    cuts, dlogits = rng.normal(size=(2, 96, 2, 2)).astype(np.float32), np.array([[0.5, -0.5], [-0.25, 0.25]])
    network = reference.torch_network(net.state, torch.float64)
    names = list(Tail(net.graph, net.affine).source)
    logits, gradients = reference.torch_gradients(network, cuts, dlogits, names)
    golden = {"cuts": cuts, "dlogits": dlogits, "logits": logits}
    for name, gradient in gradients.items():
        golden[f"{name}/norm"] = np.linalg.norm(gradient)
        golden[f"{name}/sample"] = gradient.ravel()[:: max(gradient.size // 4, 1)][:4]
    np.savez_compressed(TESTS / "inference" / "golden_gradients.npz", **golden)


if __name__ == "__main__":
    main()
