"""ONNX Runtime behind the interface that everything else uses. The only file that imports it.

From version 1.29 on, the runtime counts its users: as soon as it is imported it writes a lasting device number and a
database below the user's cache folder, and sends events to its maker. It reads `ORT_DISABLE_TELEMETRY` once, at its
import; so that variable is set here, when ratta is imported, before anything of ratta can import the runtime.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from ratta.errors import BundleError, InputError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
MOST_THREADS = 256
_PACKAGE = "onnxruntime"

telemetry_is_off = _PACKAGE not in sys.modules or os.environ.get(TELEMETRY_SWITCH, "") in ("1", "true", "yes", "on")
"""Whether the runtime was, or will be, imported with its telemetry off; false where it came before ratta."""
if _PACKAGE not in sys.modules:
    os.environ[TELEMETRY_SWITCH] = "1"


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off, and say so where it was imported too early for that.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    """
    global telemetry_is_off
    if _PACKAGE not in sys.modules:
        os.environ[TELEMETRY_SWITCH] = "1"
    elif not telemetry_is_off:
        logging.getLogger("ratta").warning(
            "onnxruntime was imported before ratta with its telemetry on; import ratta first, or set %s=1",
            TELEMETRY_SWITCH,
        )
        telemetry_is_off = True  # said once
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "ratta runs its graphs in onnxruntime, which is not installed: pip install onnxruntime, "
            'or load the engine with runtime="numpy"'
        ) from error
    onnxruntime.disable_telemetry_events()  # on Windows there is no variable, and this is all there is
    module: ModuleType = onnxruntime
    return module


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
        Threads inside one operator, from 1 to 256. One is best for a network this small; more never changes a result's
        meaning. In a process that was forked the graph is opened again where there are several: threads do not survive.
    name : str
        What to call the graph in error messages.

    Raises
    ------
    InputError
        If `threads` is no such number.
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
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
            raise InputError(f"threads: expected a whole number from 1 to {MOST_THREADS}, got {threads!r:.80}")
        self._graph, self._threads, self._name = graph, threads, name
        self._session = self._opened()
        if threads > 1:
            _with_threads.add(self)
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
            return tuple((self._session or self._reopened()).run(self._output_names, feeds))
        except Exception as error:  # no exception of another library leaves the engine
            if _is_callers(error):
                raise
            raise InputError(f"session.run: expected inputs {self.inputs} that fit the graph, got: {error}") from error

    def _opened(self) -> Any:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            if _is_callers(error):
                raise
            raise BundleError(
                f"{self._name}: expected a graph that ONNX Runtime {ort.__version__} can read, got: {error}"
            ) from error

    def _reopened(self) -> Any:
        self._session = self._opened()
        return self._session

    def let_go(self) -> None:
        """Leave the session to the parent of a process that was just forked; the next run opens another.

        Its threads are not here, and closing it would wait for them for ever: so it is never closed.
        """
        if self._session is not None:
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(self._session))
            self._session = None


_with_threads: WeakSet[OrtSession] = WeakSet()


def _after_fork() -> None:
    for session in list(_with_threads):
        session.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_callers(error: Exception) -> bool:
    """Whether an exception was raised in code of the caller that a signal let run in between."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    raised_in = str(trace.tb_frame.f_globals.get("__name__", ""))
    return raised_in != __name__ and raised_in.partition(".")[0] != _PACKAGE
