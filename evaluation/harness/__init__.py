"""lm-evaluation-harness's tasks: found by name, loaded, grouped."""
