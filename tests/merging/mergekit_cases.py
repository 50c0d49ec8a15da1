"""Recipes of mergekit that both merge: structures of its published examples, and our own.

`BASE`, `A`, `B`, `C` stand for models of four layers.
"""

from __future__ import annotations

# examples/*.yml of mergekit's repository, their models and numbers of layers made smaller
EXAMPLES = {
    "bio-merge": """
models:
  - {model: A, parameters: {density: 0.5, weight: 0.5}}
  - {model: B, parameters: {density: 0.5, weight: 0.5}}
merge_method: ties
base_model: BASE
parameters: {normalize: false, int8_mask: true}
""",
    "gradient-slerp": """
slices:
  - sources:
      - {model: A, layer_range: [0, 4]}
      - {model: B, layer_range: [0, 4]}
merge_method: slerp
base_model: A
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5 # for the rest
""",
    "orcamini-platy-44layer": """
slices:
  - sources:
      - {model: A, layer_range: [0, 3]}
  - sources:
      - {model: B, layer_range: [1, 4]}
merge_method: passthrough
""",
    "gpt2-small": """
slices:
  - sources:
      - {model: A, layer_range: [0, 2]}
merge_method: passthrough
""",
    "linear": """
models:
  - {model: A, parameters: {weight: 1.0}}
  - {model: B, parameters: {weight: 0.3}}
  - {model: C, parameters: {weight: 0.5}}
merge_method: linear
""",
    "ties": """
models:
  - model: A
    parameters:
      density: [1, 0.7, 0.1]
      weight: 1.0
  - model: B
    parameters:
      density: 0.5
      weight: [0, 0.3, 0.7, 1]
  - model: C
    parameters:
      density: 0.33
      weight:
        - {filter: mlp, value: 0.5}
        - value: 0
merge_method: ties
base_model: BASE
parameters: {normalize: true, int8_mask: true}
""",
    "mega": """
models:
  - model: A
    parameters:
      density: [1, 0.7, 0.1]
      weight: 1.0
  - model: B
    parameters:
      density: 0.33
      weight:
        - {filter: mlp, value: 0.5}
        - value: 0
merge_method: ties
base_model: BASE
parameters: {normalize: true, int8_mask: true}
out_path: ./models/gradient-slerp-ties
""",
    "arcee_fusion": """
models:
  - {model: A}
  - {model: B}
merge_method: arcee_fusion
base_model: A
""",
}
_SLICED = """
slices:
  - sources:
      - {model: BASE, layer_range: [0, 2]}
      - {model: A, layer_range: [0, 2], parameters: {weight: 0.7}}
      - {model: B, layer_range: [1, 3], parameters: {weight: [0.2, 0.9]}}
  - sources:
      - {model: BASE, layer_range: [1, 4]}
      - {model: B, layer_range: [0, 3], parameters: {weight: [{filter: mlp, value: 0.4}]}}
      - {model: C, layer_range: [1, 4]}
    parameters: {weight: 0.6}
base_model: BASE
"""
_TWO = """
models:
  - {model: A, parameters: {weight: 0.6}}
  - {model: B, parameters: {weight: [0.1, 0.5]}}
"""
_BASE = _TWO + "base_model: BASE\n"
_THREE = _BASE.replace("base_model", "  - {model: C, parameters: {weight: 0.8}}\nbase_model")
OWN = {
    "linear, weights by filters": """
merge_method: linear
models:
  - {model: A, parameters: {weight: [{filter: self_attn, value: [0, 1]}, {value: 0.5}]}}
  - {model: B}
parameters: {weight: 0.25}
""",
    "linear, not normalised in places": _TWO
    + """
merge_method: linear
parameters: {normalize: [{filter: q_proj, value: false}, {value: true}]}
""",
    "linear, slices with a base for the config": """
merge_method: linear
base_model: B
slices:
  - sources:
      - {model: A, layer_range: [0, 2], parameters: {weight: 1}}
      - {model: B, layer_range: [2, 4], parameters: {weight: 3}}
  - sources:
      - {model: B, layer_range: [1, 2], parameters: {weight: 2}}
""",
    "linear, a base that is not listed": _BASE + "merge_method: linear\nparameters: {weight: 1}\n",
    "slerp, one value": """
merge_method: slerp
models: [{model: A}, {model: B}]
base_model: B
parameters: {t: 0.3}
""",
    "slerp, a gradient and a base for each slice": """
merge_method: slerp
slices:
  - base_model: B
    sources: [{model: A, layer_range: [0, 2]}, {model: B, layer_range: [0, 2]}]
  - base_model: A
    sources: [{model: A, layer_range: [1, 4]}, {model: C, layer_range: [1, 4]}]
    parameters: {t: [0.9, 0.1, 0.4]}
base_model: A
parameters: {t: [0.2, 0.7]}
""",
    "nuslerp": _TWO + "merge_method: nuslerp\n",
    "nuslerp, task vectors": _BASE + "merge_method: nuslerp\n",
    "nuslerp, rows": _TWO + "merge_method: nuslerp\nparameters: {nuslerp_flatten: false}\n",
    "nuslerp, columns": _BASE
    + """
merge_method: nuslerp
parameters: {nuslerp_flatten: false, nuslerp_row_wise: true}
""",
    "multislerp": _TWO + "merge_method: multislerp\n",
    "multislerp, task vectors": _THREE
    + """
merge_method: multislerp
parameters: {normalize_weights: [true, false]}
""",
    "karcher": "merge_method: karcher\nmodels: [{model: A}, {model: B}, {model: C}]\n",
    "karcher, the base too": "merge_method: karcher\nmodels: [{model: A}]\nbase_model: C\n",
    "task_arithmetic, lambda by a gradient": _THREE
    + """
merge_method: task_arithmetic
parameters: {lambda: [1.5, 0.5, 1]}
""",
    "task_arithmetic, normalize": _THREE
    + """
merge_method: task_arithmetic
parameters: {normalize: [{filter: mlp, value: true}], lambda: 0.8}
""",
    "task_arithmetic, slices": _SLICED + "merge_method: task_arithmetic\n",
    "task_arithmetic, slices of different bases": """
merge_method: task_arithmetic
base_model: BASE
slices:
  - sources:
      - {model: BASE, layer_range: [0, 2]}
      - {model: A, layer_range: [2, 4]}
  - base_model: A
    sources:
      - {model: A, layer_range: [1, 3]}
      - {model: C, layer_range: [0, 2]}
parameters: {weight: 0.7}
""",
    "ties, slices": _SLICED + "merge_method: ties\nparameters: {density: 0.6}\n",
    "ties, a density for each model and module": """
merge_method: ties
models:
  - model: BASE
  - model: A
    parameters:
      weight: 1
      density: [{filter: self_attn, value: [0.3, 0.9]}, {filter: mlp, value: 0.2}]
  - model: B
    parameters: {weight: 0.5, density: 0.8}
base_model: BASE
parameters: {density: 0.7, lambda: [{filter: layers.1., value: 0.5}]}
""",
    "dare_linear, nothing dropped": _THREE + "merge_method: dare_linear\n",
    "dare_ties, nothing dropped, normalised": _THREE
    + """
merge_method: dare_ties
parameters: {density: 1, normalize: true, rescale: false}
""",
    "della, nothing dropped": _THREE + "merge_method: della\nparameters: {epsilon: 0.3}\n",
    "della_linear, nothing dropped": _BASE
    + """
merge_method: della_linear
parameters: {normalize: true, lambda: [0.5, 1.5]}
""",
    "breadcrumbs": _THREE
    + """
merge_method: breadcrumbs
parameters: {density: [0.9, 0.4], gamma: 0.05}
""",
    "breadcrumbs, normalised, a gamma for each": """
merge_method: breadcrumbs
models:
  - {model: A, parameters: {weight: 0.9, density: 0.7, gamma: 0.2}}
  - {model: B, parameters: {weight: 0.4, density: 0.9, gamma: [0.01, 0.1]}}
base_model: BASE
parameters: {normalize: true}
""",
    "breadcrumbs_ties, slices": _SLICED
    + """
merge_method: breadcrumbs_ties
parameters: {density: 0.8, gamma: 0.1, lambda: 1.2}
""",
    "model_stock": "merge_method: model_stock\nmodels: [{model: A}, {model: B}, {model: C}]\n"
    "base_model: BASE\n",
    "model_stock, filter-wise": """
merge_method: model_stock
models: [{model: A}, {model: B}]
base_model: BASE
parameters: {filter_wise: true}
""",
    "sce": """
merge_method: sce
models: [{model: A}, {model: B}, {model: C}]
base_model: BASE
parameters: {select_topk: [0.3, 0.8], int8_mask: true}
""",
    "passthrough, scaled": """
merge_method: passthrough
models:
  - model: A
    parameters: {scale: [{filter: o_proj, value: 0}, {filter: down_proj, value: [0.5, 1]}]}
""",
    "passthrough, layers again with less output": """
merge_method: passthrough
modules:
  default:
    slices:
      - sources: [{model: A, layer_range: [0, 3]}]
      - sources:
          - model: A
            layer_range: [1, 4]
            parameters:
              scale: [{filter: o_proj, value: 0.5}, {filter: down_proj, value: 0.5}, {value: 1}]
      - sources: [{model: B, layer_range: [3, 4]}]
""",
}
CASES = {**EXAMPLES, **OWN}


def text(case: str, names: dict[str, str]) -> str:
    """A case's recipe: computed in float32, written in bfloat16."""
    found = CASES[case]
    for word in ("BASE", "A", "B", "C"):
        found = found.replace(f"model: {word}", f"model: {names[word.lower()]}")
    return found + "dtype: float32\nout_dtype: bfloat16\n"
