"""From a recipe to one step per tensor, and from steps to merged tensors."""
