"""Engines: token ids in, token ids out. `port` is the interface; one module per adapter."""
