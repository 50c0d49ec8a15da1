"""Parts of the pages about searches."""
