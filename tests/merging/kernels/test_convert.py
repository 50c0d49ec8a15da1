from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from merging.kernels.convert import narrow, widen

TORCH = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}
ITEM = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}
SPECIAL = [0x0, 0x1, 0x7F7FFFFF, 0x7F7F8000, 0x7F7F7FFF, 0x7F800000, 0x00800000, 0x007FFFFF]
# around float16's largest number, its smallest normal one and its subnormals
SPECIAL += [0x477FE000, 0x477FEFFF, 0x477FF000, 0x38800000, 0x387FFFFF, 0x387FE000, 0x33000000]
SPECIAL += [0x33000001, 0x32FFFFFF, 0x33800000, 0x33C00000, 0x3F808000, 0x3F818000, 0x3F807FFF]


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def patterns() -> np.ndarray[Any, Any]:
    """Float32 of all kinds: special ones, every exponent, and both signs."""
    random = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    ties = random & np.uint32(0xFFFF0000) | np.uint32(0x8000)
    special = np.array(SPECIAL, dtype=np.uint32)
    bits = np.concatenate([special, special | np.uint32(1 << 31), random, ties])
    return bits.view(np.float32)


def bits_of(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[values.itemsize])


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_every_16_bit_number_is_widened_as_torch_does(dtype: str) -> None:
    stored = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(TORCH[dtype])
    expected = stored.float()
    out = np.empty(stored.numel(), np.float32)
    assert not widen(raw(stored), dtype, out)
    finite = expected.isfinite()
    assert (bits_of(out) == bits_of(expected.numpy()))[~expected.isnan().numpy()].all()
    assert np.isnan(out[expected.isnan().numpy()]).all()
    out = np.empty(int(finite.sum()), np.float32)
    assert widen(raw(stored[finite]), dtype, out)


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_wider_numbers_are_read_as_torch_does(dtype: str) -> None:
    values = torch.from_numpy(patterns()[~np.isnan(patterns())]).to(TORCH[dtype])
    if dtype == "F64":
        values = torch.cat([values * (1 + 1e-9), values])
    out = np.empty(values.numel(), np.float32)
    assert not widen(raw(values), dtype, out)
    assert (bits_of(out) == bits_of(values.float().numpy())).all()
    finite = values[values.float().isfinite()]
    assert widen(raw(finite), dtype, np.empty(finite.numel(), np.float32))


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 17, 100])
def test_one_bad_number_is_noticed(dtype: str, bad: float, place: int) -> None:
    values = torch.linspace(-1, 1, 101)
    values[place] = bad
    assert not widen(raw(values.to(TORCH[dtype])), dtype, np.empty(101, np.float32))
    assert not narrow(values.numpy(), dtype, bytearray(101 * ITEM[dtype]))


@pytest.mark.parametrize("dtype", TORCH)
def test_narrowing_gives_torchs_bits(dtype: str) -> None:
    values = patterns()
    out = bytearray(values.size * ITEM[dtype])
    assert not narrow(values, dtype, out)
    expected = torch.from_numpy(values).to(TORCH[dtype])
    nan = expected.isnan().numpy()
    mine = torch.frombuffer(out, dtype=TORCH[dtype])
    assert (mine.isnan().numpy() == nan).all()
    same = bits_of(np.frombuffer(out, f"<u{ITEM[dtype]}")) == bits_of(
        np.frombuffer(raw(expected), f"<u{ITEM[dtype]}")
    )
    assert same[~nan].all()
    finite = values[expected.isfinite().numpy()]
    assert narrow(finite, dtype, out)


@pytest.mark.parametrize(("dtype", "value"), [("BF16", 3.3961776e38), ("F16", 65520.0)])
def test_overflow_by_rounding_is_noticed(dtype: str, value: float) -> None:
    values = np.array([1.0, value], np.float32)
    assert not narrow(values, dtype, bytearray(4))
    assert narrow(np.nextafter(values, np.float32(0)), dtype, bytearray(4))


def test_buffers_may_be_longer_than_the_chunk() -> None:
    raw_bytes, out = bytearray(b"\x80\x3f" * 10), np.zeros(4, np.float32)
    assert widen(memoryview(raw_bytes), "BF16", out) and (out == 1).all()
    assert narrow(out, "BF16", memoryview(raw_bytes)[2:])
    with pytest.raises(ValueError):
        widen(b"\x80", "BF16", out)


def test_no_elements() -> None:
    assert widen(b"", "BF16", np.empty(0, np.float32))
    assert narrow(np.empty(0, np.float32), "BF16", bytearray())
