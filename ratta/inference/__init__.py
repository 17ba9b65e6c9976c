"""From a crop to a reading: the graph's runtimes and the calibrated network."""

from ratta.inference.network import Network
from ratta.inference.session import OrtSession, Session

__all__ = ["Network", "OrtSession", "Session"]
