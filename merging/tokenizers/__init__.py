"""Tokenizers of a merge: whose tokens, which embedding rows, what is written beside the weights."""
