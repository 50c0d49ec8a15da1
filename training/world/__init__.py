"""The closed world of the sandbox: facts, corpora, chats and benchmark items."""
