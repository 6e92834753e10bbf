"""Several serving processes on one host: one port, one Valkey, one set of books, one engine.

`host` runs in the process that was started, and starts the others; `serving` is what runs in them.
"""
