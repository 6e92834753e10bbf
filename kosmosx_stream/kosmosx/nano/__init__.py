"""kosmos-x-nano: the bundled small Kosmos-2 checkpoint, and everything that made it.

Serving needs only `checkpoint/`; the modules beside it draw scenes, write dialogues, train and
evaluate, and need torch and transformers.
"""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
