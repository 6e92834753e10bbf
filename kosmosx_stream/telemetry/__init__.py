"""What an operator sees of the server: metrics, traces, logs. Nothing is billed from it."""
