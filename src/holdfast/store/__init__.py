"""The store: the ledger of runs, effects and entries, on one SQLite file.

Decides what is on disk and in which order. Promises what :class:`holdfast.kernel.ports.StorePort` says;
several processes on one file are safe. Does not decide whether a change may happen: the guard it carries
does.
"""

from holdfast.store.opening import open_store
from holdfast.store.sqlite import SqliteStore

Store = SqliteStore

__all__ = ["SqliteStore", "Store", "open_store"]
