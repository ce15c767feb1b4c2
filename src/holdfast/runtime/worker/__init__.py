"""Workers: processes that claim queued runs under a lease and a fencing token, and drive them.

``heart`` says that a process is there, ``holding`` what it holds and under which token, ``driven`` puts that token into
every change, ``rests`` says what becomes of a job whose drive came to rest, ``skew`` what a process lacks, ``picking``
which job comes next, ``sweeping`` takes up what nobody drives any more, ``shift`` runs it all, ``listing`` shows it.
"""
