"""Transports: decode commands, follow the log, encode. One module per way to reach a client."""
