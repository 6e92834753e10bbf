"""Live turns: their state machine, their log, their owners, their ends."""
