"""From labelled development sessions to a bundle whose model may adapt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ratta.adaptation.development import make_reference, read_development
from ratta.adaptation.tone_development import measure_tones
from ratta.adaptation.views import Views
from ratta.assembly import make_source_model
from ratta.bundle import write_bundle
from ratta.engine import open_graph

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from ratta.adaptation.reference import Reference
    from ratta.bundle import Bundle
    from ratta.inference import Session

    Samples = Iterable[tuple[npt.NDArray[np.uint8], bool, str, str]]


def adaptation_reference(
    bundle: Bundle, development: Samples, envelope: Samples, *, runtime: str = "onnxruntime"
) -> Reference:
    """Measure what adaptation must know of a bundle's model; three runs of the network a crop.

    Parameters
    ----------
    bundle : Bundle
    development : iterable of (crop (S, S, 3) uint8 RGB, is_live, species, session)
        The source camera: at least 100 sessions, of people the network was not trained on; at most 16 crops a session,
        at least 200 ms apart.
    envelope : iterable of the same
        At least 50 such sessions under the camera changes that are declared adaptable.
    runtime : str
        "onnxruntime" or "numpy".

    Raises
    ------
    InputError
        If there are too few sessions, or a class is missing.
    """
    development = list(development)

    def opened(graph: bytes) -> Session:
        return open_graph(graph, runtime=runtime)

    model = make_source_model(bundle, opened(bundle.graph), open_graph=opened)
    views = Views(model.size)
    source, shifted = (read_development(model.network, model.stem, views, s) for s in (development, envelope))
    reference = make_reference(
        source,
        shifted,
        tail=model.tail,
        temperature=model.temperature,
        bias=model.bias,
        threshold_logit=model.threshold_logit,
    )
    tones = measure_tones(model.network, development, threshold_logit=model.threshold_logit)
    return replace(reference, tones=tones)


def write_adaptable(folder: str | Path, bundle: Bundle, reference: Reference) -> Bundle:
    """Write a bundle again with its adaptation reference, which takes the place of all of its statistics.

    Parameters
    ----------
    folder : path
        Where to; may be the bundle's own.
    bundle : Bundle
    reference : Reference
        Of this bundle's model.

    Returns
    -------
    Bundle
        As `read_bundle` gives it; its hash is another than before.
    """
    return write_bundle(
        folder,
        name=bundle.name,
        version=bundle.version,
        licence=bundle.licence,
        contract=bundle.contract,
        calibration=bundle.calibration,
        graph=bundle.graph,
        affine=bundle.affine,
        statistics=reference.to_arrays(),
        card=bundle.card,
    )
