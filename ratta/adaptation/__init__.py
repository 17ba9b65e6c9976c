"""After the answer, rarely, and within a hard budget: adapt to the camera without ever becoming less safe."""
