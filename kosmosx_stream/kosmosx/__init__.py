"""Kosmos-X, the model: its vLLM plugin, prompt template, tag parser and bundled checkpoint."""
