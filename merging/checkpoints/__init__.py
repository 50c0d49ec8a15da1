"""Where parents come from, and how their tensors are found and read."""
