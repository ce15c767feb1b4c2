"""Signing a checkpoint, and checking who signed one: Ed25519 over the note's text, as C2SP signed notes say.

Promises that a signature which a signer gives is checked before it is believed, whoever the signer is. Does not decide
whose key counts: the store's log keys do (:mod:`holdfast.gate.logkey`), or the verifier who brings one.
"""

from __future__ import annotations

from holdfast.gate.signing import Signer, good
from holdfast.kernel.checkpoint import Checkpoint, Signature, VerifierKey
from holdfast.kernel.errors import NotSealed


def verifier_of(signer: Signer) -> VerifierKey:
    """The public half of a log's key, as it is passed on."""
    return VerifierKey(signer.name, bytes.fromhex(signer.public_key))


def signed(checkpoint: Checkpoint, signer: Signer) -> Checkpoint:
    """The checkpoint with this key's signature after the others. Raises NotSealed where what came back is none."""
    key, given = verifier_of(signer), signer.sign(checkpoint.text.encode())
    if not good(signer.public_key, checkpoint.text.encode(), given):
        raise NotSealed(store=checkpoint.origin, why=f"the signature of key {signer.key_id} does not verify")
    line = Signature(key.name, key.key_hash, bytes.fromhex(given))
    others = tuple(other for other in checkpoint.signatures if other[:2] != line[:2])
    return checkpoint._replace(signatures=(*others, line))


def signed_by(checkpoint: Checkpoint, key: VerifierKey) -> bool:
    """Whether this key signed this checkpoint. A line under its name and id that does not verify is a no."""
    lines = [line for line in checkpoint.signatures if line[:2] == (key.name, key.key_hash)]
    message = checkpoint.text.encode()
    return bool(lines) and all(good(key.public_key.hex(), message, line.signature.hex()) for line in lines)
