"""What was used and what it costs: prices, usage, ledger, receipts, accounts, keys and sessions.

Money is integer micro-dollars (µ$, 10^-6 USD) everywhere; it becomes a decimal string only on a
receipt. Times are Unix seconds. Knows nothing of HTTP, of conversations or of the engine.
"""
