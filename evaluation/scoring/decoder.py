"""The common decoder (Llama and its kin) as plain functions on the model's own weights.

transformers' modules prepare masks, positions and caches for every kind of use; at each new token
of a small model that costs as much as its arithmetic. Here is that arithmetic and nothing else:
RMS norms, rotary positions, grouped-query attention, gated MLP. ``decoder_of`` gives a decoder for
models it knows layer by layer and None for all others; ``agreement`` compares it with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Linear
from torch.nn.functional import rms_norm, scaled_dot_product_attention

from evaluation.scoring.cache import SlotCache
from evaluation.scoring.matrices import Matrices, may_reorder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Architectures whose layers are exactly the ones below, and what their norms add to their weight.
_KNOWN = {
    "LlamaForCausalLM": 0.0,
    "MistralForCausalLM": 0.0,
    "Qwen2ForCausalLM": 0.0,
    "Qwen3ForCausalLM": 0.0,
    "GemmaForCausalLM": 1.0,
}
# Rotary positions that do not depend on how long the longest sequence is.
_ROTARY = {"default", "linear", "llama3", "yarn"}


@dataclass
class Norm:
    """Root-mean-square normalisation.

    Attributes:
        weight: shape (size,).
        eps: added to the mean square.
        late: multiply by the weight before rounding to the model's dtype (Gemma), not after.
    """

    weight: torch.Tensor
    eps: float
    late: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The states, shape (..., size), normalised over their last dimension."""
        if x.dtype == torch.float32:
            return rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * self.weight).to(x.dtype) if self.late else self.weight * wide.to(x.dtype)


@dataclass
class Layer:
    """One layer's functions; ``q_norm`` and ``k_norm`` (Qwen3) act on each head."""

    before: Norm
    qkv: Matrices
    q_norm: Norm | None
    k_norm: Norm | None
    out: Matrices
    between: Norm
    gate: Matrices
    up: Matrices
    act: Callable[[torch.Tensor], torch.Tensor]
    down: Matrices
    scale: float


@dataclass
class Decoder:
    """A model's layers, run over tokens without padding.

    Attributes:
        layers: in order.
        last: the norm before the head.
        embed: token ids, shape (n,), to states, shape (n, size).
        rotary: the model's own module: (states, positions) to cosines and sines.
        heads: of queries.
        kv_heads: of keys and values.
        size: of a head.
    """

    layers: list[Layer]
    last: Norm
    embed: Callable[[torch.Tensor], torch.Tensor]
    rotary: Callable[..., tuple[torch.Tensor, torch.Tensor]]
    heads: int
    kv_heads: int
    size: int

    def prefill(self, prompts: Sequence[torch.Tensor], cache: SlotCache, rows: list[int]) -> Any:
        """Run prompts and write their keys and values to the cache.

        Args:
            prompts: token ids, shape (t,) each.
            cache: its ``lengths`` of these rows become the prompts' lengths.
            rows: of the cache, one for each prompt.

        Returns:
            The states that predict the next token, shape (prompts, size).
        """
        ends = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0)
        spans = [
            (int(end) - len(prompt), int(end)) for prompt, end in zip(prompts, ends, strict=True)
        ]
        ids = torch.cat(list(prompts))
        x = self.embed(ids)
        places = torch.cat([torch.arange(len(p), device=ids.device) for p in prompts])
        turn = self._rotation(x, places)
        ends = ends.to(ids.device) - 1
        for number, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, turn)
            for row, (start, end) in zip(rows, spans, strict=True):
                cache.fill(number, row, k[start:end], v[start:end])
            if number == len(self.layers) - 1:
                # Of the last layer nobody looks at the other positions.
                x = x[ends]
                seen = torch.cat(
                    [_attend(q[e - 1 : e], k[s:e], v[s:e], layer.scale, False) for s, e in spans]
                )
            else:
                seen = torch.cat(
                    [_attend(q[s:e], k[s:e], v[s:e], layer.scale, True) for s, e in spans]
                )
            x = self._rest(layer, x, seen)
        cache.set_lengths(rows, [len(prompt) for prompt in prompts])
        return self.last(x)

    def step(self, tokens: torch.Tensor, cache: SlotCache) -> torch.Tensor:
        """Run one more token for each of the cache's first rows, as many as there are tokens.

        Args:
            tokens: token ids, shape (n,).
            cache: each row becomes longer by one.

        Returns:
            The states that predict the next token, shape (n, size).
        """
        x = self.embed(tokens)
        turn = self._rotation(x, cache.places(len(tokens)))
        cache.grow(len(tokens))
        for number, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, turn)
            x = self._rest(layer, x, cache.attend(number, q, k, v, layer.scale))
        return self.last(x)

    def _rotation(self, x: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines at positions of shape (n,), (n, 1, size) each."""
        cos, sin = self.rotary(x[None], places[None])
        return cos[0][:, None], sin[0][:, None]

    def _project(
        self, layer: Layer, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, shape (n, heads, size) each, at their positions."""
        q, k, v = layer.qkv(layer.before(x))
        q = q.unflatten(-1, (self.heads, self.size))
        k = k.unflatten(-1, (self.kv_heads, self.size))
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = layer.q_norm(q), layer.k_norm(k)
        return _rotate(q, *turn), _rotate(k, *turn), v.unflatten(-1, (self.kv_heads, self.size))

    @staticmethod
    def _rest(layer: Layer, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """What follows attention, for states (n, size) and what they saw (n, heads, size)."""
        out = layer.out(seen.flatten(1))[0].add_(x)
        states = layer.between(out)
        gated = layer.act(layer.gate(states)[0]).mul_(layer.up(states)[0])
        return layer.down(gated)[0].add_(out)


def _rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads (a, b), two halves, become (a cos - b sin, b cos + a sin)."""
    half = heads.shape[-1] // 2
    turned = heads * cos
    turned[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(heads[..., :half], sin[..., half:])
    return turned


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, causal: bool
) -> torch.Tensor:
    """Attention within one sequence; queries and the result have shape (t, heads, size)."""
    seen = scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        is_causal=causal,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return seen[0].transpose(0, 1)


def decoder_of(model: PreTrainedModel) -> Decoder | None:
    """A decoder on the model's weights, or None where its layers are not known to be these."""
    added = _KNOWN.get(type(model).__name__)
    if added is None or not _is_plain(model):
        return None
    config, body = model.config, model.model
    rotary = getattr(body.rotary_emb, "rope_type", "default")
    if rotary not in _ROTARY or getattr(config, "pretraining_tp", 1) != 1:
        return None
    try:
        reorder = may_reorder([m for m in body.modules() if isinstance(m, Linear)])
        layers = [_layer(module, added, reorder) for module in body.layers]
    except (AttributeError, TypeError):
        return None  # a variant with other parts
    size = int(body.layers[0].self_attn.head_dim)
    return Decoder(
        layers=layers,
        last=_norm(body.norm, added),
        embed=body.embed_tokens,
        rotary=body.rotary_emb,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        size=size,
    )


def _is_plain(model: PreTrainedModel) -> bool:
    """Whole weights on one device in one dtype, in layers that nobody replaced or hooked."""
    if getattr(model.config, "_attn_implementation", "") not in {"sdpa", "eager"}:
        return False
    if len({(p.device, p.dtype) for p in model.parameters()}) != 1:
        return False
    for module in model.model.modules():
        if isinstance(module, Linear) and type(module) is not Linear:
            return False
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return False
    return True


def _layer(module: Any, added: float, reorder: bool) -> Layer:
    attention, mlp = module.self_attn, module.mlp
    linears = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    if any(type(m) is not Linear for m in (*linears, mlp.gate_proj, mlp.up_proj, mlp.down_proj)):
        raise TypeError("not linear")
    q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    return Layer(
        before=_norm(module.input_layernorm, added),
        qkv=Matrices(linears[:3], reorder=reorder),
        q_norm=None if q_norm is None else _norm(q_norm, added),
        k_norm=None if k_norm is None else _norm(k_norm, added),
        out=Matrices(linears[3:], reorder=reorder),
        between=_norm(module.post_attention_layernorm, added),
        gate=Matrices((mlp.gate_proj,), reorder=reorder),
        up=Matrices((mlp.up_proj,), reorder=reorder),
        act=mlp.act_fn,
        down=Matrices((mlp.down_proj,), reorder=reorder),
        scale=float(attention.scaling),
    )


def _norm(module: Any, added: float) -> Norm:
    if "RMSNorm" not in type(module).__name__:
        raise TypeError("not an RMS norm")
    eps = module.eps if hasattr(module, "eps") else module.variance_epsilon
    weight = module.weight.detach()
    return Norm(weight.float() + added if added else weight, float(eps), late=bool(added))
