"""Where the model lies: a folder of this machine, or a name on the Hugging Face hub."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

DEFAULT_HUB = "https://huggingface.co"
FILES = ("*.json", "*.model", "*.jinja", "*.txt")
WEIGHTS = "*.safetensors"
"""What is fetched: no pickles, which could run code, and no weights of other frameworks."""

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


class ModelNotFoundError(Exception):
    """The setting names no model that can be had; the message says what was tried."""


MODEL = "KOSMOSX_MODEL (--model)"


def model_folder(model: Path, *, weights: bool = True, setting: str = MODEL) -> Path:
    """The checkpoint's folder; what lies on the hub is fetched into its cache first.

    Without `weights`, which an engine elsewhere has, only the files that prompts are made by.
    `setting` is who asked for it.

    Fetching can take as long as a download does, and shows its progress on the terminal.

    Raises:
        ModelNotFoundError: there is no such folder, or the hub does not give the model.
    """
    if model.is_dir():
        if not (model / "config.json").is_file():
            raise ModelNotFoundError(
                f"{setting} is '{model}': expected a checkpoint in Hugging Face's layout there, "
                "but the folder has no config.json"
            )
        return model
    if not _HUB_NAME.fullmatch(str(model)):
        raise ModelNotFoundError(
            f"{setting} is '{model}': expected the folder of a checkpoint, or a name on the "
            "Hugging Face hub (owner/name); there is no such folder"
        )
    return _fetch(model, (*FILES, WEIGHTS) if weights else FILES, setting)


def _fetch(model: Path, files: Sequence[str], setting: str) -> Path:
    # It takes a second, and most servers have no need of it.
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(files)))
    except Exception as error:  # the hub's client raises its own kinds, and those of its transport
        hub = os.environ.get("HF_ENDPOINT", DEFAULT_HUB)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFoundError(
            f"{setting} is '{model}': there is no such folder in {Path.cwd()}, and the Hugging "
            f"Face hub at {hub} does not give it: {reason}"
        ) from error
