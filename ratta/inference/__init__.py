"""From a crop to a reading: the graph's runtimes and the calibrated network."""

from ratta.inference.network import Corrected, Ensemble, Network
from ratta.inference.numpy_session import NumpySession
from ratta.inference.session import OrtSession, Session
from ratta.inference.web_session import WebSession

__all__ = ["Corrected", "Ensemble", "Network", "NumpySession", "OrtSession", "Session", "WebSession"]
