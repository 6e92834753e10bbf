"""The chat format of any model that brings a chat template: the template is taken apart once."""
