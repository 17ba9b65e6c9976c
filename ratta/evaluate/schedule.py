"""Where cells are computed: in this process, in local processes, or on a Dask cluster."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, cast

from ratta.errors import InputError, MissingExtraError, RattaError
from ratta.evaluate.cells import finished, run_cell
from ratta.evaluate.progress import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ratta.evaluate.cells import Cell, LoadSource

ATTEMPTS = 3


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    load_source: LoadSource,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> None:
    """Compute every cell whose result is not there yet.

    Parameters
    ----------
    cells : sequence of Cell
    folder : Path
        Of the results; on a cluster all workers must see it, and the pools, under the same path.
    load_source : callable
        Importable by name where the work is done.
    workers : int
        Local processes; 1 computes here.
    scheduler : str, optional
        Address of a Dask scheduler, such as `tcp://127.0.0.1:8786`; then `workers` does not count.
    progress : bool
        Show a bar.

    Raises
    ------
    RattaError
        If a worker died three times over the same cells; what was finished is kept.
    """
    if workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}")
    waiting = [cell for cell in cells if not finished(cell, folder)]
    if scheduler is not None:
        done = _on_cluster(waiting, folder, load_source, scheduler)
    elif workers > 1 and len(waiting) > 1:
        done = _in_processes(waiting, folder, load_source, workers)
    else:
        done = (run_cell(cell, folder, load_source) for cell in waiting)
    for _ in shown(done, total=len(waiting), unit="cell", title="computing") if progress else done:
        pass


def _in_processes(cells: Sequence[Cell], folder: Path, load_source: LoadSource, workers: int) -> Iterator[Path]:
    for attempt in range(ATTEMPTS):
        waiting = [cell for cell in cells if not finished(cell, folder)]
        # Fresh interpreters: a forked copy of torch's thread pool can hang.
        with ProcessPoolExecutor(min(workers, len(waiting) or 1), mp_context=get_context("spawn")) as pool:
            try:
                for future in as_completed([pool.submit(run_cell, cell, folder, load_source) for cell in waiting]):
                    yield future.result()
                return
            except BrokenProcessPool as error:
                if attempt == ATTEMPTS - 1:
                    left = [cell.name for cell in cells if not finished(cell, folder)]
                    raise RattaError(
                        f"evaluation: expected workers to live, got {ATTEMPTS} deaths; {len(left)} cells are left, "
                        f"first {left[:1]}; is there enough memory for {workers} workers?"
                    ) from error


def _on_cluster(cells: Sequence[Cell], folder: Path, load_source: LoadSource, address: str) -> Iterator[Path]:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise MissingExtraError("ratta sweep --scheduler needs Dask: pip install distributed") from error
    with cast("Any", distributed).Client(address, timeout="10s") as client:
        # A task whose worker dies is given to another one by the scheduler; its file tells whether it was finished.
        futures = client.map(run_cell, cells, folder=folder, load_source=load_source, retries=ATTEMPTS, pure=False)
        for future in cast("Any", distributed).as_completed(futures):
            yield future.result()
