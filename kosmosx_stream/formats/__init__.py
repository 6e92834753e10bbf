"""Between a model's tokens and words: prompts in, items out."""
