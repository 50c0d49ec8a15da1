"""Searches: their models, jobs and results, with the database."""
