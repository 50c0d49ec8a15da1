"""Checkpoints whose weights are stored as 8-bit floats with scales, read as what they stand for.

theta = q * scale, with one scale a tensor, a row, or a block of rows and columns. The tensors with
the scales are not tensors of the model and vanish. Formats: arXiv:2209.05433; scales of blocks as
in DeepSeek-V3 (arXiv:2412.19437), whose `weight_scale_inv` is the factor itself.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.folder import text_config
from merging.checkpoints.header import NOWHERE, TensorInfo
from merging.checkpoints.stored import STORED_NAMES
from merging.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FP8 = ("F8_E4M3", "F8_E5M2")
# ways of storing 8-bit floats that mean q * scale
METHODS = ("fp8", "fbgemm_fp8", "compressed-tensors", "modelopt")
COMPRESSED = ("float-quantized", "naive-quantized")
SCALES = ("_scale_inv", "_scale")
# what serves computing in 8 bits, and is no part of the weights
FOR_INFERENCE = (
    ".input_scale", ".input_scale_ub", ".activation_scale", ".output_scale",
    ".k_scale", ".v_scale", ".q_scale", ".prob_scale",
)  # fmt: skip
BLOCK = (128, 128)
SCALES_KEPT = 8


def is_fp8(stored: Mapping[str, TensorInfo]) -> bool:
    """Whether some tensors are 8-bit floats."""
    return any(info.dtype in FP8 for info in stored.values())


class Fp8Checkpoint(Checkpoint):
    """A model stored in 8-bit floats; its config says nothing of them any more.

    Args:
        raw: the opened files; belongs to this object from now on.

    Raises:
        ModelError: another kind of quantisation, or scales that do not fit.
    """

    def __init__(self, raw: Checkpoint) -> None:
        self._raw = raw
        found = raw.config.get("quantization_config") or text_config(raw.config).get(
            "quantization_config"
        )
        settings: dict[str, Any] = found if isinstance(found, dict) else {}
        _require_plain_fp8(settings, raw.label)
        self._block = _block_size(settings)
        self._scale_of: dict[str, str] = {}
        for name, info in raw.tensors.items():
            if info.dtype in FP8:
                scale = next((name + end for end in SCALES if name + end in raw.tensors), None)
                if scale is not None:
                    self._scale_of[name] = scale
                    self._check_scale(name, scale)
        config = _without_quantisation(raw.config)
        super().__init__(raw.folder, config, self._infos(_dtype(config)), raw.label)
        self._scales: OrderedDict[str, Floats] = OrderedDict()
        self._loading = threading.Lock()

    @property
    def parts(self) -> tuple[Checkpoint, ...]:
        """See `Checkpoint.parts`."""
        return (self._raw,)

    def stored(self, name: str) -> str | None:
        """See `Checkpoint.stored`."""
        dtype = self._raw.tensors[self._aliases.get(name, name)].dtype
        return None if dtype in FP8 else dtype

    def read_into(self, name: str, start: int, stop: int, buffer: memoryview) -> None:
        """See `Checkpoint.read_into`."""
        self._raw.read_into(self._aliases.get(name, name), start, stop, buffer)

    def values_into(self, name: str, start: int, stop: int, out: Floats) -> None:
        """See `Checkpoint.values_into`."""
        name = self._aliases.get(name, name)
        if name not in self._scale_of:
            self._raw.values_into(name, start, stop, out)
            return
        scales = self._load(name)
        if scales.size == 1:
            self._raw.values_into(name, start, stop, out)
            out *= scales.reshape(())
            return
        columns = self.tensors[name].shape[-1]
        first, last = start // columns, math.ceil(stop / columns)
        whole = np.empty((last - first, columns), np.float32)
        self._raw.values_into(name, first * columns, last * columns, whole.reshape(-1))
        whole *= self._rows_of_scales(name, scales, first, last)
        out[:] = whole.reshape(-1)[start - first * columns :][: stop - start]

    def close(self) -> None:
        """Close the files."""
        self._raw.close()

    def _rows_of_scales(self, name: str, scales: Floats, first: int, last: int) -> Floats:
        """The scale of each element of some rows, `[last - first, columns or 1]`."""
        *_, height, columns = self.tensors[name].shape
        *_, high, wide = scales.shape
        tall, broad = self._extent(height, high, 0), self._extent(columns, wide, 1)
        rows = np.arange(first, last)
        # in a stack of matrices each has its own scales
        chosen = scales.reshape(-1, wide)[rows // height * high + rows % height // tall]
        return chosen if wide == 1 else np.repeat(chosen, broad, axis=1)[:, :columns]

    def _extent(self, length: int, count: int, axis: int) -> int:
        """How many rows (axis 0) or columns (axis 1) share one of `count` scales; 0: unclear."""
        if count == 1:
            return length
        if count != length and math.ceil(length / self._block[axis]) == count:
            return self._block[axis]
        return length // count if length % count == 0 else 0

    def _load(self, name: str) -> Floats:
        with self._loading:
            found = self._scales.get(name)
            if found is None:
                info = self._raw.tensors[self._scale_of[name]]
                found = np.empty(info.n_elements, np.float32)
                self._raw.values_into(self._scale_of[name], 0, len(found), found)
                if not np.isfinite(found).all():
                    raise ModelError(
                        f"{self.label} holds a scale that is not finite in "
                        f"{self._scale_of[name]}. Use an intact copy of the model."
                    )
                found = found.reshape(self._scale_shape(name))
                self._scales[name] = found
                if len(self._scales) > SCALES_KEPT:
                    self._scales.popitem(last=False)
            return found

    def _scale_shape(self, name: str) -> tuple[int, ...]:
        """The scales' shape with as many dimensions as the weight: `[rows]` is `[rows, 1]`."""
        own, weight = self._raw.tensors[self._scale_of[name]], self._raw.tensors[name]
        if own.n_elements == 1:
            return (1,) * len(weight.shape)
        return own.shape if len(own.shape) == len(weight.shape) else (*own.shape, 1)

    def _check_scale(self, name: str, scale: str) -> None:
        weight, own = self._raw.tensors[name], self._raw.tensors[scale]
        shape = self._scale_shape(name)
        fits = own.is_float and len(shape) == len(weight.shape)
        if fits and own.n_elements != 1:
            fits = len(shape) >= 2 and shape[:-2] == weight.shape[:-2]
            fits = fits and all(
                0 < count <= length
                and (count - 1) * self._extent(length, count, axis)
                < length
                <= count * self._extent(length, count, axis)
                for axis, (length, count) in enumerate(
                    zip(weight.shape[-2:], shape[-2:], strict=True)
                )
            )
        if not fits:
            raise ModelError(
                f"{self._raw.label}: the scales {scale} {list(own.shape)} do not fit "
                f"{name} {list(weight.shape)}. Use the original model in bfloat16."
            )

    def _infos(self, dtype: str) -> dict[str, TensorInfo]:
        """The model's own tensors, 8-bit ones as the dtype its config names."""
        scales = set(self._scale_of.values())
        return {
            name: TensorInfo(dtype, info.shape, info.file, NOWHERE) if info.dtype in FP8 else info
            for name, info in self._raw.tensors.items()
            if name not in scales and not name.endswith(FOR_INFERENCE)
        }


def _require_plain_fp8(settings: Mapping[str, Any], label: str) -> None:
    method = settings.get("quant_method")
    form = settings.get("format")
    if method == "compressed-tensors" and form not in COMPRESSED:
        method = f"compressed-tensors ({form})"
    if method == "modelopt" and settings.get("quant_algo", "FP8") != "FP8":
        method = f"modelopt ({settings['quant_algo']})"
    if method not in (None, *METHODS):
        raise ModelError(
            f"{label} is quantised as {method}, which cannot be read here. Use the original model "
            "in bfloat16, float16, float32 or fp8."
        )


def _block_size(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns that share a scale, where it is one of blocks."""
    groups = settings.get("config_groups")
    declared = settings.get("weight_block_size")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if declared is None and isinstance(weights, dict):
            declared = weights.get("block_structure")
    match declared:
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return rows, columns
    return BLOCK


def _without_quantisation(config: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    if isinstance(plain.get("text_config"), dict):
        plain["text_config"] = _without_quantisation(plain["text_config"])
    return plain


def _dtype(config: Mapping[str, Any]) -> str:
    """The dtype that the model has when it is not quantised, as the format spells it."""
    text = text_config(dict(config))
    named = STORED_NAMES.get(str(text.get("dtype") or text.get("torch_dtype")), "BF16")
    return named if named in ("BF16", "F16", "F32") else "BF16"
