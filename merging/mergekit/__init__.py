"""mergekit's recipes in and out: they mean what mergekit 0.1.5 means by them.

Into a recipe of ours every default of mergekit is written, as they differ from the papers' forms
that are the defaults here; what mergekit passes over is passed over. What cannot be done in the
same way, in either direction, is refused by name.
"""

from merging.mergekit.exporting import export
from merging.mergekit.importing import translate

__all__ = ["export", "translate"]
