"""From a request to a turn that may begin: history, pictures, prompt."""
