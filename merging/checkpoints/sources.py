"""Where models come from: registered names, folders, the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merging.checkpoints.fingerprints import fingerprint
from merging.errors import HubError, ModelError
from merging.wording import nearest

__all__ = ["fingerprint", "resolve"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?")
# weights as safetensors only: nothing that could run code is ever fetched
WANTED_FILES = [
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "README.md",
]
UNWANTED_FILES = ["*/*.safetensors", "consolidated*.safetensors", "*.py"]


def resolve(
    ref: str,
    names: Mapping[str, str],
    *,
    revision: str | None = None,
    download: bool = True,
) -> Path:
    """The folder of a model.

    Args:
        ref: a registered name, a folder, or a Hub id such as `org/model`, in this order.
        names: registered name -> folder.
        revision: branch, tag or commit, for Hub ids.
        download: fetch from the Hub what is not in its cache; False looks into the cache only.

    Raises:
        ModelError: no such name or folder.
        HubError: not on the Hub, needs a login (exit code 2); out of reach (1).
    """
    if ref in names:
        folder = Path(names[ref])
        if not folder.is_dir():
            raise ModelError(
                f'The folder of the registered model "{ref}" is gone: {folder}. Put it back, or '
                "remove the model from the list."
            )
        return folder
    path = _folder(ref)
    if path is not None:
        return path
    if Path(ref).is_absolute() or ref.startswith((".", "~")) or not HUB_ID.fullmatch(ref):
        raise ModelError(f'There is no folder "{ref}".')
    near = nearest(ref, names)
    hint = f' Did you mean the registered model "{near}"?' if near else ""
    if "/" not in ref or (near is not None and ref.split("/")[0] == near.split("/")[0]):
        # a family of registered names is no organisation on the Hub
        raise ModelError(f'There is no registered model and no folder "{ref}".{hint}')
    return _from_hub(ref, revision, download=download, hint=hint)


def _folder(ref: str) -> Path | None:
    """The folder a reference is a path to, if it is one."""
    try:
        path = Path(ref).expanduser()
        return path.resolve() if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None  # no permission, no such user, or nothing that could be a path


def _from_hub(ref: str, revision: str | None, *, download: bool, hint: str) -> Path:
    """A snapshot of a Hub repository in huggingface_hub's cache."""
    from huggingface_hub import constants, snapshot_download

    offline = constants.HF_HUB_OFFLINE
    try:
        folder = Path(
            snapshot_download(
                ref,
                revision=revision,
                allow_patterns=WANTED_FILES,
                ignore_patterns=UNWANTED_FILES,
                local_files_only=not download or offline,
                max_workers=4,
            )
        )
    except Exception as error:
        raise _in_words(ref, revision, error, offline=offline, download=download, hint=hint) from (
            error
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{ref} has no safetensors weights on the Hub. Choose a model that has, or download "
            "its pickles yourself and add the folder: they are converted when you agree to it."
        )
    return folder


def _in_words(
    ref: str, revision: str | None, error: Exception, *, offline: bool, download: bool, hint: str
) -> Exception:
    """One sentence for whatever went wrong between us and the Hub."""
    from huggingface_hub import errors

    where = os.environ.get("HF_ENDPOINT", "https://huggingface.co").removeprefix("https://")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{ref} is gated: accept its terms on {where}/{ref}, then log in with `hf auth login` "
            "or set HF_TOKEN.",
            exit_code=2,
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f'{ref} has no revision "{revision}" on the Hub.', exit_code=2)
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"There is no model {ref} on the Hub, or it is private and needs a login "
            f"(`hf auth login`).{hint}",
            exit_code=2,
        )
    if isinstance(error, errors.HFValidationError):
        return HubError(f'"{ref}" is not a valid Hub id.', exit_code=2)
    if offline or not download:
        reason = "HF_HUB_OFFLINE is set" if offline else "nothing is downloaded at this point"
        return HubError(
            f"{ref} is neither a registered model, nor a folder, nor in the Hub's cache, and "
            f"{reason}.{hint}",
            exit_code=2 if not offline else 1,
        )
    status = _status(error)
    if status in (401, 403):
        return HubError(
            f"The Hub refuses access to {ref} (HTTP {status}): log in with `hf auth login` or set "
            "HF_TOKEN.",
            exit_code=2,
        )
    if status is not None:
        return HubError(f"The Hub answered {ref} with HTTP {status}. Try again later.", exit_code=1)
    if isinstance(error, OSError) and error.errno is not None and not _is_network(error):
        return HubError(f"{ref} cannot be stored: {error.strerror}.", exit_code=1)
    return HubError(
        f"{where} is out of reach, so {ref} cannot be downloaded. Check the network, or use a "
        f"model folder.{hint}",
        exit_code=1,
    )


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error, looking through what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        response: Any = getattr(seen, "response", None)
        if isinstance(getattr(response, "status_code", None), int):
            return int(response.status_code)
        seen = seen.__cause__ or seen.__context__
    return None


def _is_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError)
