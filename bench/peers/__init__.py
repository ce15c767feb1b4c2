"""The same no-op step through other durable engines, each in its own process; see `bench.peers.run`."""
