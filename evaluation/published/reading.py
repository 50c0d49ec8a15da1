"""What every reader of a published file has in common: where the file is, and plain sentences."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from evaluation.errors import TaskError
from evaluation.published.folder import data_folder, locate

Doc = dict[str, Any]


def reader(read: Callable[..., Iterable[Doc]]) -> Callable[..., Any]:
    """A function from a file to documents, made into what lm-eval calls for a dataset.

    The function gets the first of the files that the published name stands for, and what else the
    task's ``dataset_kwargs`` say; it yields the documents of the ``test`` split.
    """

    @wraps(read)
    def dataset(published: str, **options: Any) -> Any:
        from datasets import Dataset, DatasetDict

        path = (locate(published) or [data_folder() / published])[0]
        docs = documents(read, path, options)
        return DatasetDict({"test": Dataset.from_list(docs)})

    return dataset


def documents(read: Callable[..., Iterable[Doc]], path: Path, options: dict[str, Any]) -> list[Doc]:
    """The documents that a reader finds in a file.

    Raises:
        TaskError: the file has another form, another column, or no documents.
    """
    try:
        docs = list(read(path, **options))
    except KeyError as error:
        raise TaskError(
            f"its data file {path} is not in the published form (KeyError: there is no column or "
            f"field {error})"
        ) from error
    except (TypeError, IndexError, AttributeError) as error:
        raise TaskError(
            f"its data file {path} is not in the published form ({type(error).__name__}: {error})"
        ) from error
    except (OSError, ValueError, csv.Error, zipfile.BadZipFile, ParseError) as error:
        told = "is not JSON, " if isinstance(error, json.JSONDecodeError) else ""
        raise TaskError(f"its data file {path} cannot be read ({told}{error})") from error
    if not docs:
        raise TaskError(f"its data file {path} has no such items")
    return docs
