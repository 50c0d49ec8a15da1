"""The parts of the Models pages."""
