"""What a comparison found: sums per tensor, from which every measure follows; and its file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.errors import MergeFailure, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Similarity:
    """Sums over every tensor of some models, with respect to the first of them, the reference.

    Attributes:
        based: whether the reference is the base that the others were made from; the differences
            are task vectors then.
        n_participants: models, the base included.
        names: of the tensors, in natural order.
        shapes: of what was compared of them.
        sums: `[tensors, width]`, float64, in the order of `kernels.add_chunk`; NaN where a tensor
            holds a value that is not finite.
        notes: what was left out, see `notes.sentences`.
    """

    based: bool
    n_participants: int
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    sums: NDArray[np.float64]
    notes: tuple[dict[str, Any], ...] = ()

    @cached_property
    def overall(self) -> NDArray[np.float64]:
        """The sums over all tensors that hold finite values only, `[width]`."""
        import numpy as np

        total: NDArray[np.float64] = np.nansum(self.sums, axis=0)
        return total

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair of participants, the smaller number first."""
        count = range(self.n_participants)
        return [(i, j) for i in count for j in count if i < j]

    @property
    def task_pairs(self) -> list[tuple[int, int]]:
        """Every pair of participants that have task vectors."""
        return [(i, j) for i, j in self.pairs if i > 0] if self.based else []

    def save(self, path: Path) -> None:
        """Write to a file that appears only when it is complete.

        Raises:
            MergeFailure: the disk is full, or there is no permission.
        """
        import numpy as np

        meta = {
            "format": FORMAT,
            "based": self.based,
            "n_participants": self.n_participants,
            "names": self.names,
            "shapes": self.shapes,
            "notes": self.notes,
        }
        buffer = io.BytesIO()
        np.savez(buffer, meta=np.array(json.dumps(meta)), sums=self.sums)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_bytes(buffer.getvalue())
            os.replace(partial, path)
        except OSError as error:
            raise MergeFailure(
                f"The comparison cannot be written to {path.parent}: {error.strerror}."
            ) from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Similarity:
        """Read a file of `save`.

        Raises:
            ModelError: it is damaged, or of another version.
            FileNotFoundError: there is none.
        """
        import numpy as np

        try:
            content = io.BytesIO(path.read_bytes())
            with np.load(content, allow_pickle=False) as stored:
                meta, sums = json.loads(str(stored["meta"])), stored["sums"]
            if meta["format"] != FORMAT:
                raise KeyError("format")
            return cls(
                based=bool(meta["based"]),
                n_participants=int(meta["n_participants"]),
                names=tuple(meta["names"]),
                shapes=tuple(tuple(shape) for shape in meta["shapes"]),
                sums=sums,
                notes=tuple(meta["notes"]),
            )
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            raise ModelError(
                f"The stored comparison {path.name} is damaged. Ask for it again."
            ) from None
