"""Tables, migrations and queries. A leaf: it imports nothing else of the project."""
