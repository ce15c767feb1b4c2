"""One run: an intent, and one call under it.

    python run.py PURPOSE ACCOUNT CENTS

The purpose says which piece of work this is: a ticket, an order. The same purpose again is the same credit, and is
answered from the record. Exit code: 0 verified, 1 it did not happen, 3 unknown, 4 a person is waited for, 5 refused.
"""

import os
import sys
import tomllib
from pathlib import Path

import ledger
from tools import credit

import holdfast as hf

HERE = Path(__file__).resolve().parent


def main(purpose: str, account: str, amount: int) -> int:
    """Begin the run, make the call, and say how it ended."""
    settings = tomllib.loads((HERE / "holdfast.toml").read_text(encoding="utf-8"))
    store = os.environ.get("HOLDFAST_STORE") or settings["store"]
    if not store.startswith("postgres"):
        store = f"sqlite:{HERE / store.removeprefix('sqlite:')}"
    policy = HERE / settings["policy"]
    evidence = hf.Evidence(**settings["evidence"], home=HERE)
    environment = settings["environment"]
    with hf.open(store, tools=[credit], policy=policy, environment=environment, evidence=evidence) as app:
        intent = hf.Intent(goal=f"credit {account}", purpose=purpose, principal="support", deadline="1h")
        run = app.begin(intent)
        outcome = run.call(credit(account=account, amount=amount, note=purpose))
        if isinstance(outcome, hf.Verified):
            run.stop("the credit is in the ledger", state="done")  # what is over can be archived, and redacted
    code = said(outcome)
    print(f"the ledger holds {[one['amount'] for one in ledger.credits_of(account)]}")
    return code


def said(outcome: hf.Outcome) -> int:
    """Print an outcome and give the exit code that stands for it. These are all there are."""
    match outcome:
        case hf.Verified():
            print("verified: the ledger lists it, once")
            return 0
        case hf.Waiting(request):
            print(f"waiting for a person: holdfast approve {request} --as NAME")
            return 4
        case hf.Refused(reason):
            print(f"refused, nothing was sent: {reason}")
            return 5
        case hf.Failed(reason):
            print(f"it did not happen: {reason}")
            return 1
        case hf.Unknown(effect):
            print(f"unknown, and somebody owns it: holdfast effect show {effect}")
            return 3
        case other:  # Committed, Deferred, Stopped: not settled as agreed, or not yet
            print(f"not settled: {other}")
            return 4


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[3].isdecimal():
        sys.exit("python run.py PURPOSE ACCOUNT CENTS")
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
