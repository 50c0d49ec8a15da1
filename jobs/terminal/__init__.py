"""What the terminal asks for and shows."""
