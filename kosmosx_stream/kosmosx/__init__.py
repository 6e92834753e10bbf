"""Kosmos-X, the model: its vLLM plugin, prompt template, grounding parser and bundled checkpoint."""
