"""The names of a Kosmos-2 checkpoint's tensors, and the check that a checkpoint has exactly them.

vLLM's loader passes over some names it does not know (any `.bias`), and a tensor that is not
loaded leaves a parameter random. Both would serve nonsense, so both are errors here.
Pure: knows neither torch nor vLLM. The names are those of transformers' `modeling_kosmos2`.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

DERIVED = frozenset(
    {
        # Computed from the configuration; checkpoints of older transformers carry them.
        "text_model.model.embed_positions.weights",
        "vision_model.model.embeddings.position_ids",
    }
)
HEAD = "text_model.lm_head.weight"

_T = TypeVar("_T")


class Layers(Protocol):
    """The part of a text or vision configuration that names depend on."""

    num_hidden_layers: int


class Config(Protocol):
    """The part of `Kosmos2Config` that names depend on."""

    text_config: Layers
    vision_config: Layers
    tie_word_embeddings: bool


class WeightNamesError(ValueError):
    """The checkpoint's names are not those that its configuration asks for."""

    def __init__(self, unknown: Iterable[str], missing: Iterable[str]) -> None:
        self.unknown = tuple(sorted(unknown))
        self.missing = tuple(sorted(missing))
        super().__init__(
            f"checkpoint does not fit its config: unknown names {list(self.unknown)}, "
            f"missing names {list(self.missing)}"
        )


def _affine(*modules: str) -> Iterator[str]:
    """Names of modules that have a weight and a bias."""
    for module in modules:
        yield f"{module}.weight"
        yield f"{module}.bias"


def _attention(prefix: str) -> Iterator[str]:
    return _affine(*(f"{prefix}.{part}_proj" for part in ("q", "k", "v", "out")))


def _text_layer(prefix: str) -> Iterator[str]:
    yield from _attention(f"{prefix}.self_attn")
    yield from _affine(f"{prefix}.self_attn.inner_attn_ln")
    yield from _affine(f"{prefix}.self_attn_layer_norm", f"{prefix}.final_layer_norm")
    yield from _affine(*(f"{prefix}.ffn.{part}" for part in ("fc1", "fc2", "ffn_layernorm")))


def _vision_layer(prefix: str) -> Iterator[str]:
    yield from _attention(f"{prefix}.self_attn")
    yield from _affine(*(f"{prefix}.{part}" for part in ("layer_norm1", "layer_norm2")))
    yield from _affine(f"{prefix}.mlp.fc1", f"{prefix}.mlp.fc2")


def _text(config: Layers) -> Iterator[str]:
    yield "text_model.model.embed_tokens.weight"
    yield from _affine("text_model.model.layer_norm")
    for index in range(config.num_hidden_layers):
        yield from _text_layer(f"text_model.model.layers.{index}")


def _vision(config: Layers) -> Iterator[str]:
    root = "vision_model.model"
    yield f"{root}.embeddings.class_embedding"
    yield f"{root}.embeddings.patch_embedding.weight"
    yield f"{root}.embeddings.position_embedding.weight"
    yield from _affine(f"{root}.pre_layrnorm", f"{root}.post_layernorm")
    for index in range(config.num_hidden_layers):
        yield from _vision_layer(f"{root}.encoder.layers.{index}")


def _resampler() -> Iterator[str]:
    yield "image_to_text_projection.latent_query"
    yield from _affine("image_to_text_projection.dense")
    yield from _attention("image_to_text_projection.x_attn")


def required_names(config: Config) -> frozenset[str]:
    """Names without which the model is incomplete."""
    head = () if config.tie_word_embeddings else (HEAD,)
    text, vision = _text(config.text_config), _vision(config.vision_config)
    return frozenset((*text, *vision, *_resampler(), *head))


def checked(config: Config, weights: Iterable[tuple[str, _T]]) -> Iterator[tuple[str, _T]]:
    """Pass the known tensors on; when all went by, complain of every wrong or absent name.

    Raises:
        WeightNamesError: after the last tensor.
    """
    missing = set(required_names(config))
    unknown = []
    for name, weight in weights:
        if name in missing or name == HEAD:
            missing.discard(name)
            yield name, weight
        elif name not in DERIVED:
            unknown.append(name)
    if unknown or missing:
        raise WeightNamesError(unknown, missing)
