"""Public benchmark files in their authors' form: where they are, their terms, how they are read."""
