"""A self-hosted streaming chat server for Kosmos-X on vLLM."""
