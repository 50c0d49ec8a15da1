"""A loaded model, and what is asked of it: log-probabilities and text."""
