"""Run by mergekit's Python: merges recipes of [recipe, folder] pairs from standard input."""

from __future__ import annotations

import json
import sys

from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

for recipe, folder in json.load(sys.stdin):
    run_merge(MergeConfiguration.model_validate(recipe), folder, MergeOptions(copy_tokenizer=True))
