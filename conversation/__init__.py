"""What was said: items, turns, the log of each response, and where they are kept.

Knows nothing of HTTP, of the engine, or of money.
"""
