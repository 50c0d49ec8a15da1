"""Where libraries keep what they download, and what they may not send."""

from __future__ import annotations

import os

from db import settings


def use_home() -> None:
    """Send data set caches below the home, and switch telemetry off, for this and its children.

    Models stay where every Hugging Face tool looks for them, unless the user said otherwise.
    """
    cache = settings.cache_folder()
    defaults = {
        "HF_DATASETS_CACHE": str(cache / "datasets"),
        "HF_EVALUATE_CACHE": str(cache / "evaluate"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
