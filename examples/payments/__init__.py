"""A payment service with its own process, its own books and no knowledge of holdfast: a real outside.

Read `books.py` first (the rules of the money), then `switches.py` (how it can be made to misbehave), then
`wire.py` (HTTP) and `service.py` (the process). `client.py` is the library such a company would give its
customers; `spawn.py` starts the service.
"""
