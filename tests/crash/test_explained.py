"""Stores whose workers were killed answer `run explain`: grounded, no alarm, and never surer than the record."""

from __future__ import annotations

import pytest

from tests.crash.scene import Case, Stage
from tests.explaining import explained, text_of

pytestmark = pytest.mark.slow
CASES = [
    Case(tool="refund", kills=("dispatch/store.commit#1:after",)),
    Case(tool="refund_keyed", kills=("body/wire.send#1:after",)),
    Case(tool="refund_fenced", kills=("body/wire.send#1:after",)),
    Case(tool="refund_bare", kills=("dispatch/store.commit#1:after",)),
    Case(tool="refund_bare", kills=("body/wire.send#1:after",)),
    Case(tool="refund", asked=True, kills=("dispatch/store.commit#1:after",)),
    Case(tool="payout", kills=("body/wire.send#1:after",)),
]


@pytest.mark.req("W5", mutant=None, reason="real kills: the record is what they left, no defect is planted")
def test_a_store_whose_workers_were_killed_is_explained(scene: Stage) -> None:
    """Each run of a killed worker's store is told with what is unknown as unknown, and with who took it over."""
    for ran in scene.play_all(CASES):
        assert ran.kills, ran.case
        [data] = list(explained(ran.store))
        done, unknown = text_of(data, "done"), text_of(data, "unknown")
        if ran.case.exact:
            assert " is verified" in text_of(data, "verified") or "no check is agreed" in text_of(data, "verified")
        else:
            assert "not known is whether it took effect" in unknown
            assert "failed" not in done
        assert "nobody knew whether it had taken effect: «died" in done
