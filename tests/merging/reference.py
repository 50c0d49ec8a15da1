"""The methods again, written independently: plain numpy in float64, whole tensors, by sorting."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear(base: Array | None, models: Sequence[Array], weights: Sequence[float]) -> Array:
    return np.average(np.stack(models), axis=0, weights=weights)


def slerp(
    base: Array | None, models: Sequence[Array], weights: Sequence[float], t: float = 0.5
) -> Array:
    a, b = (model.ravel() for model in models)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    if abs(cosine) > 0.9995:
        return (1 - t) * models[0] + t * models[1]
    angle = np.arccos(cosine)
    return (np.sin((1 - t) * angle) * models[0] + np.sin(t * angle) * models[1]) / np.sin(angle)


def task_arithmetic(
    base: Array, models: Sequence[Array], weights: Sequence[float], scale: float = 1.0
) -> Array:
    return base + scale * sum(w * (m - base) for w, m in zip(weights, models, strict=True))


def instruction_residual(
    base: Array, models: Sequence[Array], weights: Sequence[float], alpha: float = 1.0
) -> Array:
    return models[0] + alpha * (models[1] - base)


def trim(delta: Array, density: float) -> Array:
    k = max(1, int(density * delta.size))
    threshold = np.sort(np.abs(delta).ravel())[::-1][k - 1]
    return np.where(np.abs(delta) >= threshold, delta, 0)


def elected_mean(deltas: Sequence[Array], weights: Sequence[float]) -> Array:
    sign = np.where(sum(deltas) >= 0, 1, -1)
    total, divisor = np.zeros_like(deltas[0]), np.zeros_like(deltas[0])
    for delta, weight in zip(deltas, weights, strict=True):
        agrees = np.sign(delta) == sign
        total[agrees] += weight * delta[agrees]
        divisor[agrees] += weight
    return np.divide(total, divisor, out=np.zeros_like(total), where=divisor != 0)


def ties(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.2,
    scale: float = 1.0,
) -> Array:
    # float32 differences, as the magnitudes are compared with each other in that precision
    trimmed = [
        trim((model.astype(np.float32) - base.astype(np.float32)).astype(np.float64), density)
        for model in models
    ]
    return base + scale * elected_mean(trimmed, weights)


def mask(model: int, shape: tuple[int, ...], density: float | Array) -> NDArray[np.bool_]:
    """The mask of model i, tensor "t", seed 0: one stream from its beginning, word by word."""
    digest = hashlib.sha256(f"0\0model{model}\0t".encode()).digest()
    key = struct.unpack("<2I", digest[:8])
    n = int(np.prod(shape))
    numbers: list[int] = []
    for step in range(n // 8 + 1):
        upper, lower = (
            struct.unpack("<8H", struct.pack("<4I", *philox((step, 0, plane, 0), key)))
            for plane in (0, 1)
        )
        numbers += [high * 65536 + low for high, low in zip(upper, lower, strict=True)]
    return np.array(numbers[:n], dtype=np.float64).reshape(shape) / 2**32 < density


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Philox 4x32-10 in whole numbers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        one, two = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [two >> 32 ^ c[1] ^ k[0], two % 2**32, one >> 32 ^ c[3] ^ k[1], one % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return tuple(c)


def dropped(base: Array, models: Sequence[Array], density: float) -> list[Array]:
    return [
        mask(i, model.shape, density) * (model - base) / density for i, model in enumerate(models)
    ]


def dare_linear(
    base: Array, models: Sequence[Array], weights: Sequence[float], density: float = 0.5
) -> Array:
    kept = dropped(base, models, density)
    return base + sum(w * delta for w, delta in zip(weights, kept, strict=True))


def dare_ties(
    base: Array, models: Sequence[Array], weights: Sequence[float], density: float = 0.5
) -> Array:
    # the common factor 1/d is taken out, so that votes that cancel do so in both computations
    kept = [mask(i, model.shape, density) * (model - base) for i, model in enumerate(models)]
    return base + elected_mean(kept, weights) / density


def crumbs(delta: Array, density: float, gamma: float) -> Array:
    order = np.argsort(-np.abs(delta).ravel(), kind="stable")
    kept = max(1, int(density * delta.size))
    top = min(int(gamma * delta.size), delta.size - kept)
    limits = np.abs(delta).ravel()[order[[top, top + kept - 1]]]
    return np.where((np.abs(delta) <= limits[0]) & (np.abs(delta) >= limits[1]), delta, 0)


def crumbs_of(base: Array, models: Sequence[Array], density: float, gamma: float) -> list[Array]:
    deltas = [(m.astype(np.float32) - base.astype(np.float32)).astype(np.float64) for m in models]
    return [crumbs(delta, density, gamma) for delta in deltas]


def breadcrumbs(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.5,
    gamma: float = 0.01,
) -> Array:
    kept = crumbs_of(base, models, density, gamma)
    return base + sum(w * delta for w, delta in zip(weights, kept, strict=True))


def breadcrumbs_ties(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.5,
    gamma: float = 0.01,
) -> Array:
    return base + elected_mean(crumbs_of(base, models, density, gamma), weights)


def pruned(base: Array, models: Sequence[Array], density: float, epsilon: float) -> list[Array]:
    """Row by row and rank by rank; kept entries are divided by their own probability."""
    found = []
    for i, model in enumerate(models):
        delta = (model.astype(np.float32) - base.astype(np.float32)).astype(np.float64)
        rows = delta.reshape(-1, delta.shape[-1] if delta.ndim else 1)
        p = np.empty_like(rows)
        for y, row in enumerate(rows):
            for rank, x in enumerate(sorted(range(row.size), key=lambda at, r=row: abs(r[at]))):
                share = rank / (row.size - 1) if row.size > 1 else 0.5
                p[y, x] = min(1.0, density - epsilon / 2 + epsilon * share)
        kept = mask(i, rows.shape, p)
        found.append((np.where(kept, rows, 0) / p).reshape(delta.shape))
    return found


def della_linear(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.5,
    epsilon: float = 0.3,
) -> Array:
    kept = pruned(base, models, density, epsilon)
    return base + sum(w * delta for w, delta in zip(weights, kept, strict=True))


def della(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.5,
    epsilon: float = 0.3,
) -> Array:
    return base + elected_mean(pruned(base, models, density, epsilon), weights)


def model_stock(base: Array, models: Sequence[Array], weights: Sequence[float]) -> Array:
    deltas = [(model - base).ravel() for model in models]
    cosines = []
    for i, a in enumerate(deltas):
        for b in deltas[i + 1 :]:
            norms = np.linalg.norm(a) * np.linalg.norm(b)
            cosines.append(a @ b / norms if norms else 0.0)
    cosine, n = np.mean(cosines), len(models)
    t = max(0.0, n * cosine / (1 + (n - 1) * cosine)) if cosine > 0 else 0.0
    return t * np.mean(models, axis=0) + (1 - t) * base


def sce(
    base: Array, models: Sequence[Array], weights: Sequence[float], select_topk: float = 0.1
) -> Array:
    deltas = np.stack([(m.astype(np.float32) - base.astype(np.float32)) for m in models])
    deltas = deltas.astype(np.float64)
    variance = np.var(deltas, axis=0)
    differing = np.count_nonzero(variance > 1e-15)
    if select_topk < 1 and differing:
        k = max(1, int(select_topk * differing))
        limit = np.sort(variance.ravel())[::-1][k - 1]
        deltas = np.where(variance >= limit * (1 - 1e-9), deltas, 0)
    squares = [np.mean(delta**2) for delta in deltas]
    total = sum(squares)
    shares = [square / total if total else 1 / len(models) for square in squares]
    return base + elected_mean(list(deltas), shares)


def nuslerp(base: Array | None, models: Sequence[Array], weights: Sequence[float]) -> Array:
    t = weights[1] / sum(weights)
    a, b = (model.ravel() / np.linalg.norm(model) for model in models)
    # the angle from the chord, which stays exact where the vectors are nearly parallel
    angle = 2 * np.arcsin(min(1.0, np.linalg.norm(a - b) / 2))
    if np.sin(angle) < 1e-8:
        return (1 - t) * models[0] + t * models[1]
    return (np.sin((1 - t) * angle) * models[0] + np.sin(t * angle) * models[1]) / np.sin(angle)


def multislerp(base: Array | None, models: Sequence[Array], weights: Sequence[float]) -> Array:
    """With the tangent space and the way back that mergekit describes."""
    w = np.array(weights) / sum(weights)
    norms = np.array([np.linalg.norm(model) for model in models])
    units = np.stack([model.ravel() / norm for model, norm in zip(models, norms, strict=True)])
    pole = w @ units / np.linalg.norm(w @ units)
    tangent = w @ (units - (units @ pole)[:, None] * pole)
    angle = np.linalg.norm(tangent) + 1e-300
    point = pole * np.cos(angle) + tangent * np.sin(angle) / angle
    return (point * (w @ norms)).reshape(models[0].shape)


def karcher(base: Array | None, models: Sequence[Array], weights: Sequence[float]) -> Array:
    """By gradient descent in small steps, until nothing moves."""
    w = np.array(weights) / sum(weights)
    norms = np.array([np.linalg.norm(model) for model in models])
    units = np.stack([model.ravel() / norm for model, norm in zip(models, norms, strict=True)])
    point = units[0]
    for _ in range(200):
        dots = np.clip(units @ point, -1, 1)
        angles = np.arccos(dots)
        logs = (angles / np.maximum(np.sin(angles), 1e-12))[:, None] * (
            units - dots[:, None] * point
        )
        point = point + 0.5 * (w @ logs)
        point /= np.linalg.norm(point)
    return (point * (w @ norms)).reshape(models[0].shape)


def passthrough(base: Array | None, models: Sequence[Array], weights: Sequence[float]) -> Array:
    return models[0]


def differences(base: Array, models: Sequence[Array]) -> list[Array]:
    """Task vectors as float32 has them."""
    return [(m.astype(np.float32) - base.astype(np.float32)).astype(np.float64) for m in models]


def arcee_fusion(
    base: Array, models: Sequence[Array], weights: Sequence[float], fence: float = 1.5
) -> Array:
    (delta,) = differences(base, models)
    importance = np.empty(base.shape)
    for place in np.ndindex(base.shape[:-1]):
        p, q = (np.exp(x - x.max()) for x in (models[0][place], base[place]))
        p, q = p / p.sum() + 1e-8, q / q.sum() + 1e-8
        importance[place] = np.abs(delta[place]) * max(0.0, float(np.sum(p * np.log(p / q))))
    if not base.shape:
        return models[0]
    importance = importance.astype(np.float32).astype(np.float64)
    ordered = np.sort(importance.ravel())
    q1, q2, q3 = (ordered[int(share * (ordered.size - 1))] for share in (0.25, 0.5, 0.75))
    return np.where(importance >= q2 + fence * (q3 - q1), models[0], base)


def matrices(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(np.ndindex(shape[:-2]))


def polar(matrix: Array) -> Array:
    """The nearest matrix with orthonormal columns, on the space that the columns span."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    used = s > 1e-6 * s[0] if s[0] > 0 else np.zeros(s.size, dtype=bool)
    return u[:, used] @ vt[used]


def tsv_m(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    share: float = 1.0,
    scale: float = 1.0,
) -> Array:
    deltas = differences(base, models)
    if base.ndim < 2:
        return base + scale * sum(w * d for w, d in zip(weights, deltas, strict=True)) / len(deltas)
    merged = np.empty(base.shape)
    k = max(1, int(share * min(base.shape[-2:]) / len(deltas)))
    for place in matrices(base.shape):
        left, middle, right = [], [], []
        for weight, delta in zip(weights, deltas, strict=True):
            u, s, vt = np.linalg.svd(delta[place], full_matrices=False)
            real = (s > 1e-6 * s[0])[:k]
            left.append(u[:, :k] * real)
            middle.append(weight * s[:k] * real)
            right.append(vt[:k].T * real)
        merged[place] = (
            polar(np.hstack(left)) @ np.diag(np.hstack(middle)) @ polar(np.hstack(right)).T
        )
    return base + scale * merged


def iso_c(
    base: Array, models: Sequence[Array], weights: Sequence[float], scale: float = 1.0
) -> Array:
    total = sum(w * d for w, d in zip(weights, differences(base, models), strict=True))
    if base.ndim < 2:
        return base + scale * total / len(models)
    merged = np.empty(base.shape)
    for place in matrices(base.shape):
        _, s, _ = np.linalg.svd(total[place], full_matrices=False)
        merged[place] = np.mean(s) * polar(total[place])
    return base + scale * merged


def pcb(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    density: float = 0.1,
    scale: float = 1.0,
) -> Array:
    deltas = np.stack(differences(base, models)).reshape(len(models), -1)
    count, n = deltas.shape
    total, divisor = np.zeros(n), np.zeros(n)
    for delta, weight in zip(deltas, weights, strict=True):
        ordered, cut = np.sort(np.abs(delta)), int(n * 0.0001)
        low, high = ordered[cut], ordered[n - 1 - cut]
        size = np.clip(np.abs(delta), low, high)
        norm = (size - low) / (high - low) if high > low else np.zeros(n)
        balance = np.exp(count * norm**2) * np.tanh(delta * deltas.sum(axis=0))
        balance = balance.astype(np.float32).astype(np.float64)
        dropped = np.sort(balance)[min(int(n * (1 - density)), n - 1)]
        best = balance.max()
        if best > dropped:
            score = np.clip((balance - dropped) / (best - dropped), 0, 1)
        else:
            score = np.where(balance == best, 1.0 if best > 0 else 0.0, 0.0)
        total += score * weight * np.sign(delta) * size
        divisor += score
    merged = np.divide(total, divisor, out=np.zeros(n), where=divisor > 1e-12)
    return base + scale * merged.reshape(base.shape)


def widen(
    base: Array,
    models: Sequence[Array],
    weights: Sequence[float],
    ratio: float = 1.0,
    calibration: float = 1.0,
    embedding: bool = False,
) -> Array:
    deltas = differences(base, models)

    def scored(importance: Array) -> Array:
        powers = np.exp(importance)
        scores = powers / powers.sum(axis=0)
        above = importance > ratio * importance.mean(axis=1, keepdims=True)
        return np.where(above, calibration, scores)

    if base.ndim < 2:
        flat = np.abs(np.stack(deltas)).reshape(len(deltas), -1)
        scores = scored(flat).reshape(len(deltas), *base.shape)
        return base + sum(s * d for s, d in zip(scores, deltas, strict=True))
    before = base.reshape(-1, base.shape[-1])
    before = before.T if embedding else before
    lengths, turns, moved = [], [], []
    for delta in deltas:
        change = delta.reshape(-1, base.shape[-1])
        change = change.T if embedding else change
        after = before + change
        old, new = np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0)
        length = np.abs(new - old)
        length[length <= 1e-12 * old] = 0
        both = old * new
        turn = np.where(
            both > 0,
            1 - (before * after).sum(axis=0) / np.where(both > 0, both, 1),
            np.abs(change).sum(axis=0) > 0,
        )
        turn[turn <= 1e-12] = 0
        lengths.append(length.astype(np.float32))
        turns.append(turn.astype(np.float32))
        moved.append(change)

    def ranked(divergences: Sequence[NDArray[np.float32]]) -> Array:
        places = [np.argsort(np.argsort(one, kind="stable"), kind="stable") for one in divergences]
        return np.stack(places) / divergences[0].size

    scores = (scored(ranked(lengths)) + scored(ranked(turns))) / 2
    merged = before + sum(s * change for s, change in zip(scores, moved, strict=True))
    return (merged.T if embedding else merged).reshape(base.shape)


REFERENCES: dict[str, Callable[..., Array]] = {
    "linear": linear,
    "slerp": slerp,
    "task_arithmetic": task_arithmetic,
    "instruction_residual": instruction_residual,
    "ties": ties,
    "dare_linear": dare_linear,
    "dare_ties": dare_ties,
    "sce": sce,
    "model_stock": model_stock,
    "nuslerp": nuslerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "passthrough": passthrough,
    "della_linear": della_linear,
    "della": della,
    "breadcrumbs": breadcrumbs,
    "breadcrumbs_ties": breadcrumbs_ties,
    "arcee_fusion": arcee_fusion,
    "tsv_m": tsv_m,
    "iso_c": iso_c,
    "pcb": pcb,
    "widen": widen,
}
