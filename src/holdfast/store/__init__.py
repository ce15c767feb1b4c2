"""The store: the ledger of runs, effects and entries, in one SQLite file or one schema of a PostgreSQL database.

Decides what is on disk and in which order. Promises what :class:`holdfast.kernel.ports.StorePort` says; any number of
processes share a store. Does not decide whether a change may happen: the guard it carries does.
"""

from holdfast.store.address import Address, address, shown
from holdfast.store.face import Store
from holdfast.store.opening import is_there, open_sqlite, open_store, reader_beside
from holdfast.store.sqlite import SqliteStore

__all__ = [
    "Address",
    "SqliteStore",
    "Store",
    "address",
    "is_there",
    "open_sqlite",
    "open_store",
    "reader_beside",
    "shown",
]
