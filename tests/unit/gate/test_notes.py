"""Signing a note: what a signer gives is checked before it is believed."""

from __future__ import annotations

import pytest

from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.errors import NotSealed


class Liar(Key):
    """Signs something else than it is asked to."""

    def sign(self, message: bytes) -> str:
        return super().sign(message + b" or not")


@pytest.mark.req("1.10a", mutant="checkpoint-signature-unchecked")
def test_a_signature_of_something_else_becomes_no_note() -> None:
    """Whoever the signer is, a note is made only of a signature that verifies over its very text."""
    checkpoint = Checkpoint("holdfast/st_1", 3, b"x" * 32)
    assert len(signed(checkpoint, Key.make("holdfast/st_1")).signatures) == 1
    with pytest.raises(NotSealed):
        signed(checkpoint, Liar.make("holdfast/st_1"))
