"""The checkpoint's names: derived from the configuration, and complained of when they differ."""

import pytest
import torch
from transformers import Kosmos2ForConditionalGeneration

from kosmosx_stream.kosmosx.weights import HEAD, WeightNamesError, checked, required_names
from tests.kosmosx_stream.kosmosx.tiny_checkpoint import Shape, config_of


@pytest.mark.parametrize("tied", [True, False])
def test_names_are_those_of_transformers(*, tied: bool) -> None:
    config = config_of(Shape(tied=tied, vocab_size=331))
    with torch.device("meta"):
        names = set(Kosmos2ForConditionalGeneration(config).state_dict())
    assert required_names(config) == (names - {HEAD} if tied else names)


def run(names: set[str], *, tied: bool = True) -> set[str]:
    config = config_of(Shape(tied=tied, vocab_size=331))
    return {name for name, _ in checked(config, ((name, 0) for name in sorted(names)))}


NAMES = required_names(config_of(Shape(tied=True, vocab_size=331)))


def test_a_complete_checkpoint_passes_whole() -> None:
    assert run(NAMES) == NAMES


def test_the_head_of_a_tied_checkpoint_is_passed_on() -> None:
    assert run(NAMES | {HEAD}) == NAMES | {HEAD}


def test_derived_tensors_are_dropped() -> None:
    assert run(NAMES | {"vision_model.model.embeddings.position_ids"}) == NAMES


def test_unknown_names_are_an_error_even_where_the_loader_would_pass_over_them() -> None:
    extra = "image_to_text_projection.x_attn.inner_attn_ln.bias"
    with pytest.raises(WeightNamesError) as caught:
        run(NAMES | {extra})
    assert (caught.value.unknown, caught.value.missing) == ((extra,), ())


def test_missing_names_are_an_error() -> None:
    lost = "text_model.model.layers.1.ffn.ffn_layernorm.bias"
    with pytest.raises(WeightNamesError) as caught:
        run(NAMES - {lost})
    assert (caught.value.unknown, caught.value.missing) == ((), (lost,))


def test_an_untied_checkpoint_needs_its_head() -> None:
    with pytest.raises(WeightNamesError, match="lm_head"):
        run(NAMES, tied=False)
