"""The bundled web page: static files that the server sends as they are.

No build step and no dependency; `FOLDER` holds everything that belongs at `/`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
