"""`WebSession` before a stand-in for JavaScript; the real one is met in Node and in Chromium (see `.ci/pyodide`)."""

import asyncio
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ratta.errors import BundleError, InputError, MissingExtraError
from ratta.inference import NumpySession, WebSession
from ratta.networks import open_graph


class Typed:
    """A typed array, or an array, of JavaScript."""

    def __init__(self, values):
        self.values = values

    def to_py(self):
        return self.values


class Promise:
    """A promise; unlike a coroutine, nobody has to await it."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield from ()
        return self.value


class Tensor(SimpleNamespace):
    """A tensor of onnxruntime-web."""

    freed = 0

    def dispose(self):
        Tensor.freed += 1


class WebOrt:
    """onnxruntime-web, run by `NumpySession`; what it gives comes as an awaitable."""

    def __init__(self):
        self.InferenceSession = self
        self.Tensor = SimpleNamespace(new=lambda kind, data, dims: Tensor(kind=kind, data=data, dims=dims))

    def create(self, graph, options):
        assert options == {"executionProviders": ["wasm"]}
        return Promise(WebGraph(NumpySession(graph)))


class WebGraph:
    def __init__(self, session):
        self.session = session

    async def run(self, tensors):
        feeds = {name: np.asarray(t.data).reshape(t.dims) for name, t in vars(tensors).items()}
        answers = zip(self.session.outputs, self.session.run(feeds), strict=True)
        return SimpleNamespace(**{n: Tensor(data=Typed(a.ravel()), dims=Typed(list(a.shape))) for n, a in answers})


@pytest.fixture
def browser(monkeypatch):
    """Pyodide's two modules as a browser with stack switching has them."""
    js, ffi = ModuleType("js"), ModuleType("pyodide.ffi")
    js.ort, js.Object = WebOrt(), SimpleNamespace(new=SimpleNamespace, fromEntries=dict)
    ffi.can_run_sync, ffi.run_sync = (lambda: True), asyncio.run
    ffi.to_js = lambda value, dict_converter=None: value
    monkeypatch.setitem(sys.modules, "js", js)
    monkeypatch.setitem(sys.modules, "pyodide", ModuleType("pyodide"))
    monkeypatch.setitem(sys.modules, "pyodide.ffi", ffi)
    return SimpleNamespace(js=js, ffi=ffi)


def test_it_answers_as_numpy_does_and_lets_go_of_every_tensor(browser, net, crops):
    """Names, order, shapes and values are those of the graph; JavaScript's memory is given back."""
    web, plain, before = open_graph(net.graph, runtime="web"), NumpySession(net.graph), Tensor.freed
    assert (plain.inputs, plain.outputs, plain.shapes) == (web.inputs, web.outputs, web.shapes)
    for _ in range(2):
        for expected, actual in zip(plain.run({"pixels": crops}), web.run({"pixels": crops}), strict=True):
            np.testing.assert_array_equal(expected, actual)
    assert 2 * len(web.outputs) == Tensor.freed - before


@pytest.mark.parametrize(
    "feeds",
    [{}, {"pixel": 0}, {"pixels": np.zeros((1, 64, 64, 3), np.float32)}, {"pixels": np.zeros((1, 8, 8, 3), np.uint8)}],
)
def test_what_does_not_fit_is_an_input_error(browser, net, feeds):
    """A wrong name, type or size is refused, whoever finds it."""
    with pytest.raises(InputError, match=r"session\.run"):
        WebSession(net.graph).run(feeds)


def test_a_graph_that_the_browser_refuses_is_a_bundle_error(browser, net, monkeypatch):
    """It is raised by the first run, and it names the graph."""

    async def refuse(graph, options):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(browser.js.ort, "create", refuse)
    with pytest.raises(BundleError, match=r"odd\.onnx.*no such operator"):
        WebSession(net.graph, name="odd.onnx").run({"pixels": np.zeros((1, net.size, net.size, 3), np.uint8)})


def test_where_python_cannot_wait_nothing_runs(browser, net, crops):
    """Without stack switching `run` says what to do instead, and `run_async` works."""
    browser.ffi.can_run_sync = lambda: False

    async def both():
        session = WebSession(net.graph)
        with pytest.raises(MissingExtraError, match="run_async"):
            session.run({"pixels": crops})
        return await session.run_async({"pixels": crops})

    assert [(4, 2), (4, 576)] == [answer.shape for answer in asyncio.run(both())[:2]]


def test_a_page_without_onnxruntime_web_is_told_so(browser, net):
    """And so is a Python that is in no browser."""
    del browser.js.ort
    with pytest.raises(MissingExtraError, match=r"globalThis\.ort"):
        WebSession(net.graph)


def test_outside_of_a_browser_there_is_no_web_runtime(net):
    """The message names the runtimes there are."""
    with pytest.raises(MissingExtraError, match="Pyodide"):
        open_graph(net.graph, runtime="web")
