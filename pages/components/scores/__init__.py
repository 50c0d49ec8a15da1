"""Scores drawn and told: tables, pictures, sentences."""
