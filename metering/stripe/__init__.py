"""Stripe, through its own client. Nothing else in `metering` imports that."""
