"""What a study's scores say: pure functions from `Results` to frozen numbers with a `table()`."""
