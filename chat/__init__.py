"""Conversations with models, in a process of their own.

`chat.child` is that process: it holds the models, answers JSON lines and streams tokens. Nothing
here is imported by the web process except `chat.protocol` and `chat.errors`, which need no torch.
"""
