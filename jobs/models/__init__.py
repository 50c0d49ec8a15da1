"""The registered models: what they are, how healthy, how alike."""
