"""The seven verbs, in order of time: admit, claim, dispatch, observe, reconcile, settle, verify.

A verb reads the ledger first, ends in the ledger, and keeps nothing in between; it waits only on ports.
"""
