"""Model folders that are more than plain safetensors: LoRA adapters, fp8, pickles.

Each is read as a `merging.checkpoints` `Checkpoint`, whose `open` finds out which one a folder is.
"""
