"""A graph in onnxruntime-web, for Python in a browser or in Node (Pyodide).

JavaScript answers with promises. `run_async` awaits them anywhere. `run`, the face that `OrtSession` has, needs Python
to be able to wait in the middle of a call, which WebAssembly allows where it has stack switching (JSPI) and Python was
entered by `runPythonAsync` or `callPromising`. Elsewhere `NumpySession` gives the same answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ratta.errors import BundleError, InputError, MissingExtraError
from ratta.inference.graph import Array, Port, read_graph


class WebSession:
    """A graph in onnxruntime-web; answers as `OrtSession` does.

    The page makes the library known to Python before: `globalThis.ort = ort`. The graph begins to be compiled at once,
    and the first run waits for that.

    Parameters
    ----------
    graph : bytes
        The ONNX model, self-contained.
    name : str
        What to call the graph in error messages.

    Raises
    ------
    BundleError
        If the graph cannot be read. That onnxruntime-web refuses it is only known at the first run, and raised there.
    MissingExtraError
        If this is no Pyodide, or the page has no onnxruntime-web.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names in graph order.
    shapes : dict of str to tuple
        The declared shape of every input and output; a free dimension is `None`.
    """

    def __init__(self, graph: bytes, *, name: str = "model.onnx") -> None:
        try:
            import js
            from pyodide.ffi import can_run_sync, run_sync, to_js
        except ImportError as error:
            raise MissingExtraError(
                'runtime="web" is for Python in a browser (Pyodide), which this is not; use "onnxruntime" or "numpy"'
            ) from error
        if not hasattr(js, "ort"):
            raise MissingExtraError(
                "ratta runs its graphs in onnxruntime-web, which this page has not loaded: import it and set "
                'globalThis.ort = ort before Python runs, or load the engine with runtime="numpy"'
            )
        parsed = read_graph(graph)
        self.inputs = tuple(port.name for port in parsed.inputs)
        self.outputs = tuple(port.name for port in parsed.outputs)
        self.shapes = {port.name: port.shape for port in (*parsed.inputs, *parsed.outputs)}
        self._ports = parsed.inputs
        self._name = name
        self._js, self._to_js, self._can_wait, self._wait = js, to_js, can_run_sync, run_sync
        options = to_js({"executionProviders": ["wasm"]}, dict_converter=js.Object.fromEntries)
        self._opening = js.ort.InferenceSession.create(to_js(graph), options)
        self._session: Any = None

    def run(self, feeds: dict[str, Array]) -> tuple[Array, ...]:
        """Run the graph once.

        Parameters
        ----------
        feeds : dict of str to array
            One array for each name in `inputs`.

        Returns
        -------
        tuple of float32 arrays
            In the order of `outputs`.

        Raises
        ------
        BundleError
            If onnxruntime-web cannot read the graph.
        InputError
            If an array does not fit the graph.
        MissingExtraError
            If Python cannot wait for a promise here; nothing has run then.
        """
        if not self._can_wait():
            raise MissingExtraError(
                "session.run: expected a browser in which Python can wait (JSPI) and a call by runPythonAsync or "
                'callPromising, got neither; await run_async, or load the engine with runtime="numpy"'
            )
        answer: tuple[Array, ...] = self._wait(self.run_async(feeds))
        return answer

    async def run_async(self, feeds: dict[str, Array]) -> tuple[Array, ...]:
        """Run the graph once, without waiting; arguments, answer and errors as in `run`."""
        if set(feeds) != set(self.inputs):
            raise InputError(f"session.run: expected inputs {self.inputs}, got {tuple(feeds)}")
        tensors = self._js.Object.new()
        for port in self._ports:
            setattr(tensors, port.name, self._tensor(np.asarray(feeds[port.name]), port))
        session = self._session or await self._opened()
        try:
            answer = await session.run(tensors)
        except Exception as error:  # no exception of another library leaves the engine
            raise InputError(f"session.run: expected inputs {self.inputs} that fit the graph, got: {error}") from error
        return tuple(_array(getattr(answer, output)) for output in self.outputs)

    async def _opened(self) -> Any:
        try:
            self._session = await self._opening
        except Exception as error:  # as above
            raise BundleError(f"{self._name}: expected a graph that onnxruntime-web can read, got: {error}") from error
        return self._session

    def _tensor(self, array: Array, port: Port) -> Any:
        if array.dtype != port.dtype:
            raise InputError(f"session.run, {port.name}: expected {port.dtype}, got {array.dtype}")
        data = self._to_js(np.ascontiguousarray(array).reshape(-1))  # the one copy, into a typed array of JavaScript
        return self._js.ort.Tensor.new(port.dtype, data, self._to_js(list(array.shape)))


def _array(tensor: Any) -> Array:
    """Copy a tensor of JavaScript, and let go of it."""
    values = np.asarray(tensor.data.to_py()).reshape(tuple(tensor.dims.to_py()))
    tensor.dispose()
    return values
