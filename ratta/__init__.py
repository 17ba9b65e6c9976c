"""On-device face presentation attack detection that adapts itself to its camera and never becomes less safe for it."""

__version__ = "0.1.0"
