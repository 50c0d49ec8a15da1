"""A family so small that it is trained in two seconds."""

from __future__ import annotations

from training.spec import FamilySpec

TINY = FamilySpec.model_validate(
    {
        "name": "tiny",
        "architecture": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "layers": 1,
            "heads": 2,
            "context": 64,
        },
        "tokenizer": {"entries": 300, "documents_per_mix": 50},
        "row_tokens": 32,
        "rows_per_step": 4,
        "models": {
            "base": {
                "title": "base",
                "story": "A story.",
                "optimizer": "muon",
                "learning_rate": 0.01,
                "stages": [
                    {"documents": 60, "mix": {"person": 1, "note": 1}},
                    {"documents": 60, "mix": {"person": 1, "japanese_person": 1}},
                ],
            },
            "instruct": {
                "title": "instruct",
                "story": "A story.",
                "parent": "base",
                "optimizer": "adamw",
                "learning_rate": 0.001,
                "replay": 0.5,
                "chats": {"documents": 60, "mix": {"person": 1, "greeting": 1}},
            },
        },
    }
)
