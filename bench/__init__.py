"""`make bench`: how fast the whole engine is, beside its peers, on this machine, in one sitting."""
