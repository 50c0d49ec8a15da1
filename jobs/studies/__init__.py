"""Studies in the database: planned, queued, recorded, read back."""
