"""Grafana's three boards; `__main__` writes them as JSON."""
