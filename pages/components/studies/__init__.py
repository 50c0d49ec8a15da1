"""What the pages of studies are made of."""
