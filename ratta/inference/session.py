"""ONNX Runtime behind the interface that everything else uses. The only file that imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ratta.errors import BundleError, InputError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Session(Protocol):
    """Anything that runs a graph: ONNX Runtime here, NumPy in `numpy_session`, a browser in `web_session`."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: dict[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run the graph once; the results come in the order of `outputs`."""
        ...


class OrtSession:
    """A graph in ONNX Runtime on the CPU.

    Parameters
    ----------
    graph : bytes
        The ONNX model, self-contained (no external data).
    threads : int
        Threads inside one operator. One is best for a network this small; more never changes a result's meaning.
    name : str
        What to call the graph in error messages.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot read the graph.
    MissingExtraError
        If onnxruntime is not installed.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names in graph order.
    shapes : dict of str to tuple
        The declared shape of every input and output; a free dimension is `None`.
    """

    def __init__(self, graph: bytes, *, threads: int = 1, name: str = "model.onnx") -> None:
        if threads < 1:
            raise InputError(f"threads: expected at least 1, got {threads}")
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise MissingExtraError(
                "ratta runs its graphs in onnxruntime, which is not installed: pip install onnxruntime, "
                'or load the engine with runtime="numpy"'
            ) from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise BundleError(
                f"{name}: expected a graph that ONNX Runtime {ort.__version__} can read, got: {error}"
            ) from error
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())
        entries = (*self._session.get_inputs(), *self._session.get_outputs())
        self.shapes = {e.name: tuple(d if isinstance(d, int) else None for d in e.shape) for e in entries}
        self._output_names = list(self.outputs)

    def run(self, feeds: dict[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], ...]:
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
        InputError
            If an array does not fit the graph.
        """
        try:
            return tuple(self._session.run(self._output_names, feeds))
        except Exception as error:  # as above: no exception of another library leaves the engine
            raise InputError(f"session.run: expected inputs {self.inputs} that fit the graph, got: {error}") from error
