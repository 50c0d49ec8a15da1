"""No program of ours reports to anybody: the switches of the libraries' telemetry, all off.

Importing `jobs` sets them, which app, terminal, worker and job processes all do before they import
such a library, and the chat process inherits them. What the user's own environment says already
is left as it is. Streamlit's own switch is in `.streamlit/config.toml`.
"""

from __future__ import annotations

import os

TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_MODE": "disabled",
    "WANDB_DISABLED": "true",
    "COMET_MODE": "disabled",
    "ANONYMIZED_TELEMETRY": "False",
}


def telemetry_off() -> None:
    """Switch off what the libraries would report, in this process and in those it starts."""
    for name, value in TELEMETRY.items():
        os.environ.setdefault(name, value)
