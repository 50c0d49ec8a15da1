"""What can go wrong in a conversation, each as one plain sentence."""


class ChatError(Exception):
    """A message cannot be answered: too long, no such model, no memory, process gone."""

    exit_code = 1
