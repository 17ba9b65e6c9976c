import pytest

from ratta.adaptation.task import INFERENCES, Step, Task


def test_every_step_has_a_price():
    """A budget can weigh whatever may be announced; a price is of at least one run."""
    assert set(Step) == set(INFERENCES)
    assert min(INFERENCES.values()) >= 1.0


def test_work_is_announced_before_it_is_done():
    """One piece for each advance, in order, and not a line of it earlier."""
    done = []

    def work():
        yield Step.READ
        done.append("read")
        yield Step.OPEN
        done.append("opened")

    task = Task(work())
    seen = [(task.step, list(done))]
    for _ in range(2):
        task.advance()
        seen.append((task.step, list(done)))
    assert [(Step.READ, []), (Step.OPEN, ["read"]), (None, ["read", "opened"])] == seen


def test_a_finished_task_stays_finished():
    """Advancing further does nothing."""
    task = Task(iter(()))
    assert task.step is None
    task.advance()
    assert task.step is None


def test_a_piece_that_fails_ends_the_task():
    """The failure comes out, and what failed is not announced again."""

    def work():
        yield Step.LESSON
        raise ValueError("no lesson")

    task = Task(work())
    with pytest.raises(ValueError, match="no lesson"):
        task.advance()
    assert task.step is None
    task.advance()
    assert task.step is None


def test_a_dropped_task_does_no_more_work():
    """What was announced last is not done, and the generator is closed."""
    done = []

    def work():
        try:
            yield Step.READ
            done.append("read")
        finally:
            done.append("closed")

    task = Task(work())
    del task
    assert ["closed"] == done
