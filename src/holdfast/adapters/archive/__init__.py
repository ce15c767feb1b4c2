"""Evidence that leaves the hot store: Parquet files with proofs, which verify without the store.

``archive`` writes one and takes its runs out of the store, ``verify`` checks one offline, ``against`` checks a store's
archives with it, ``record`` gives one run as bundles, explaining and replaying read it. Needs the extra ``archive``.
"""

from holdfast.adapters.archive.books import ArchiveBooks, find, record
from holdfast.adapters.archive.checking import Checked, verify
from holdfast.adapters.archive.comparing import Compared, against
from holdfast.adapters.archive.writing import Done, archive

__all__ = ["ArchiveBooks", "Checked", "Compared", "Done", "against", "archive", "find", "record", "verify"]
