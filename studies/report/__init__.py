"""A study's report: one HTML file that works offline, or a zip with the CSVs and the design."""

from studies.report.facts import Facts
from studies.report.report import write

__all__ = ["Facts", "write"]
