"""A seeded sample of `make chaos`, and the power of its judge: what is broken on purpose is found broken."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.campaign import episode
from tests.chaos.fleet import until
from tests.chaos.judge import judge
from tests.chaos.yard import WITHIN_S, Yard

pytestmark = pytest.mark.slow
SEED = 7
FAULTS = 4


@pytest.mark.req("1.4a", "1.6b", mutant=None, reason="many processes under seeded faults; judged by the books")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_few_seeded_faults_break_no_promise(kind: str) -> None:
    """No change twice, none lost, none stuck, and every refusal on record, by the payment service's books."""
    found = episode(kind, SEED, FAULTS)
    assert found.broken == []
    assert (found.doubles, found.losses, found.stuck) == (0, 0, 0)
    assert sum(found.faults.values()) == FAULTS
    assert found.done > 0


class Scenery:
    """A yard as the judge of an episode is given it."""

    def __init__(self, yard: Yard) -> None:
        """Nothing happened but what the yard's orders came to."""
        self.seed, self.kind, self.did, self.unsure = 0, "sqlite", {}, 0
        self.direct, self.payments = yard.direct, yard.payments
        self.submitted = {f"{yard.tag}-{name}": ways for name, ways in yard.orders.items()}
        self.order = list(self.submitted)


async def test_the_judge_finds_what_changed_twice_what_never_changed_and_what_nobody_has(
    yard_of, tmp_path: Path
) -> None:
    """An order paid once more behind the ledger, one that the books do not have, and one that is left: all named."""
    with yard_of(tmp_path, "sqlite") as yard:
        await yard.submit("twice", "well")
        yard.start("worker")
        yard.verified()
        assert judge(Scenery(yard), settled=True).broken == []
        yard.payments.refund(yard.invoice("twice", "refund"), 1, key="by another hand")
        await yard.submit("left", work_class="nobody's")
        scenery = Scenery(yard)
        scenery.submitted["never"] = "refund"
        found = judge(scenery, settled=False)
    assert (found.doubles, found.losses) == (1, 1)
    assert len(found.broken) == 3


@pytest.mark.req("1.4a", mutant=None, reason="this is the test that plants the defects")
@pytest.mark.parametrize("defect", ["fresh-key", "death-as-failure"])
async def test_the_judge_finds_what_a_worker_with_a_defect_has_done(yard_of, tmp_path: Path, defect: str) -> None:
    """Sent again without its key, or guessed to have failed when its worker died: two changes for one call, named."""
    with yard_of(tmp_path, "sqlite") as yard:
        yard.payments.switch("work_then_hang", 1_400, times=1)
        await yard.submit("o1", ways="refund_keyed")
        first = yard.start("first", env={"HOLDFAST_MUTANT": defect})
        assert until(lambda: yard.changes()["o1 refund_keyed"] == 1, WITHIN_S, 0.01), yard.logs()
        assert first.signal(signal.SIGKILL)
        yard.start("second", env={"HOLDFAST_MUTANT": defect})
        yard.done()
        found = judge(Scenery(yard), settled=True)
    assert found.doubles == 1, found.broken
