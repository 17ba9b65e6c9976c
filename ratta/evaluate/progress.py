"""Progress bars for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ratta.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = TypeVar("Item")


def shown(items: Iterable[Item], *, total: int | None, unit: str, title: str) -> Iterable[Item]:
    """Show a bar on stderr while items are taken.

    Raises
    ------
    MissingExtraError
        Without tqdm.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as error:
        raise MissingExtraError("a progress bar needs tqdm: pip install 'ratta[tools]'") from error
    bar: Iterable[Item] = tqdm(items, total=total, unit=unit, desc=title)
    return bar
