"""An Optuna study over training settings, kept in a database so that it can go on later or on several machines.

Every trial is a whole training; what counts is its AUC on the validation part. The test part is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratta.errors import MissingExtraError, TrainingError
from ratta.evaluate.sweep import suggested
from ratta.train.experiment import StudySettings

Objective = Callable[[dict[str, Any], Path], float]
"""From values of the space and a folder of its own to the validation AUC."""


def run_study(
    settings: StudySettings,
    objective: Objective,
    *,
    name: str,
    folder: Path,
    storage: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Bring a study to its number of trials and give the best values.

    Parameters
    ----------
    settings : StudySettings
    objective : callable
    name : str
        Of the study in the database; machines that share both work on one study.
    folder : path
        For the trials' runs, and for the database if no other is named.
    storage : str, optional
        Its URL; ``sqlite:///<folder>/study.db`` by default.
    report : callable, optional
        Takes a line after each trial.

    Raises
    ------
    TrainingError
        If the database cannot be opened.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError("a study needs Optuna: pip install 'ratta[train]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{(folder / 'study.db').resolve()}"
    try:
        study = optuna.create_study(study_name=name, storage=url, direction="maximize", load_if_exists=True)
    except Exception as error:  # whatever the database's driver raises
        raise TrainingError(f"study: expected a database at {url}, got {error}; name another --storage") from error
    complete = optuna.trial.TrialState.COMPLETE
    random_first = max(2, min(10, settings.trials // 3))
    while len(study.get_trials(deepcopy=False, states=(complete,))) < settings.trials:
        # Seeded by how many trials there are: a study that goes on does not ask its first questions again.
        study.sampler = optuna.samplers.TPESampler(
            seed=settings.seed + len(study.trials), n_startup_trials=random_first
        )
        trial = study.ask()
        values = {key: suggested(trial, key, one) for key, one in settings.space.items()}
        found = objective(values, folder / f"trial-{trial.number:04d}")
        study.tell(trial, found)
        report(f"trial {trial.number}: validation AUC {found:.4f} with {values}")
    return dict(study.best_params)
