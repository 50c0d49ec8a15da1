"""Suites and the data behind them, as the application knows them."""
