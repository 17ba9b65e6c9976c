"""From a crop to a reading: the graph's runtimes and the calibrated network."""

from ratta.inference.network import Ensemble, Network
from ratta.inference.numpy_session import NumpySession
from ratta.inference.session import OrtSession, Session
from ratta.inference.web_session import WebSession

__all__ = ["Ensemble", "Network", "NumpySession", "OrtSession", "Session", "WebSession"]
