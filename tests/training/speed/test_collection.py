import gc

import pytest

from mixhub.training.speed.collection import rare_collection


def test_garbage_is_collected_between_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    collected = []
    with rare_collection() as collect:
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
        for step in range(1, 3001):
            collect(step)
    assert len(collected) == 3
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_garbage_is_collected_as_before_after_an_error() -> None:
    with pytest.raises(KeyError), rare_collection():
        raise KeyError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
