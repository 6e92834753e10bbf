"""A taste of nano's training: its schedule, a few steps, and the weights that it writes."""

from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import Kosmos2ForConditionalGeneration, PreTrainedTokenizerFast

from kosmosx_stream.kosmosx.nano.batches import Dialogues, Pictures
from kosmosx_stream.kosmosx.nano.chat import Nano
from kosmosx_stream.kosmosx.nano.drawing import IMAGE_SIZE
from kosmosx_stream.kosmosx.nano.export import make_config
from kosmosx_stream.kosmosx.nano.model import (
    AuxiliaryHeads,
    corner_targets,
    make_model,
    normalise,
    patch_embeddings,
)
from kosmosx_stream.kosmosx.nano.optim import MEAN_STEPS, Optimiser, Shared
from kosmosx_stream.kosmosx.nano.tokenizer import PAD, Codec, build_tokenizer, words_of
from kosmosx_stream.kosmosx.nano.train import Plan, Trainer, advanced

WORDS = ["Question", "Answer", "What", "is", "There", "a", "and", "red", "circle", "star"]


def test_a_pause_shortens_no_part_of_the_schedule():
    def shares(pause: float) -> list[float]:
        share, now, done = 0.0, 0.0, [0.0]
        while share < 1:
            taken = 1 + (pause if len(done) == 500 else 0)
            now += taken
            share = advanced(share, taken, 2000 - now)
            done.append(share)
        return done

    assert shares(0) == pytest.approx([step / 2000 for step in range(2001)])
    paused = shares(1000)
    assert len(paused) == 1001
    assert max(then - before for before, then in pairwise(paused)) < 0.02


def begin(folder: Path, words: list[str], *, after: Path | None = None) -> Trainer:
    plan = Plan(
        minutes=1,
        out=folder / "out",
        state=folder / "state.pt",
        after=after,
        seed=1,
        tokens=400,
        pictures=4,
        phase_a=0.1,
        processes=1,
        muon_lr=3e-3,
        adam_lr=2e-3,
        decay=0.35,
    )
    model = Kosmos2ForConditionalGeneration(make_config(Codec(build_tokenizer(words)).size))
    parts = model, AuxiliaryHeads(256, 256)
    size = sum(weight.numel() for part in parts for weight in part.parameters())
    return Trainer(0, plan, words, Shared.of(size, 1), Barrier(1))


def test_a_few_steps_of_training_reduce_the_loss(tmp_path: Path):
    torch.set_num_threads(1)
    trainer = begin(tmp_path, WORDS)
    pictures = next(iter(Pictures(0, 8)))
    seen_losses = [trainer.picture_step(pictures)["aux"] for _ in range(6)]
    assert seen_losses[-1] < seen_losses[0]
    batch = next(iter(Dialogues(trainer.codec, 3, 400, ((160, 1.0),))))
    losses = [trainer.dialogue_step(batch, pictures) for _ in range(4)]
    assert losses[-1]["words"] < losses[0]["words"]
    assert losses[-1]["boxes"] < losses[0]["boxes"]
    trainer.save()
    trainer.export()
    assert trainer.model.get_input_embeddings().weight[PAD].any()
    shipped = load_file(tmp_path / "out" / "model.safetensors")
    assert not shipped["text_model.model.embed_tokens.weight"][PAD].any()
    assert Nano(tmp_path / "out").chat().ask("Hi") is not None


def test_a_checkpoint_can_be_trained_on(tmp_path: Path):
    torch.set_num_threads(1)
    begin(tmp_path, WORDS).export()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "out")
    words = words_of(tokenizer)
    assert build_tokenizer(words).get_vocab() == tokenizer.get_vocab()

    trainer = begin(tmp_path, words, after=tmp_path / "out")
    shipped = load_file(tmp_path / "out" / "model.safetensors")
    assert_same(trainer, shipped)
    pictures = next(iter(Pictures(0, 8)))
    losses = [trainer.picture_step(pictures)["aux"] for _ in range(6)]
    assert losses[-1] < losses[0]
    assert_same(trainer, shipped)  # The heads have learnt alone.


def assert_same(trainer: Trainer, weights: dict[str, torch.Tensor]) -> None:
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, weights[name]), name


def test_a_corner_belongs_to_the_cells_that_it_lies_between():
    middle, between = (10.5 / 32, 3.5 / 32), (11 / 32, 3.5 / 32)
    one, both = corner_targets(torch.tensor([middle, between])).unflatten(1, (32, 32))
    assert one.sum() == pytest.approx(1)
    assert divmod(int(one.argmax()), 32) == (3, 10)
    assert float(one[3, 9]) == pytest.approx(float(one[3, 11]))
    assert float(both[3, 10]) == pytest.approx(float(both[3, 11]))
    assert 2 * float(both[3, 10]) > float(one[3, 10])


def test_pictures_are_seen_as_transformers_does():
    model = make_model(make_config(Codec(build_tokenizer(WORDS)).size), 300)
    images = torch.randint(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    pixels = normalise(images).float()
    tower = model.vision_model.model
    torch.testing.assert_close(patch_embeddings(tower.embeddings, pixels), tower.embeddings(pixels))


def test_what_is_exported_follows_the_weights_slowly():
    weight = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    shared = Shared.of(3, 1)
    optimiser = Optimiser([("bias", weight)], shared, 0, Barrier(1))
    optimiser.publish()
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimiser.step(0.0, 1.0)
    first, second = -1.0, shared.masters[0].item()
    mean = first / MEAN_STEPS
    mean += (second - mean) / MEAN_STEPS
    assert shared.mean.tolist() == pytest.approx([mean] * 3, rel=1e-3)
    optimiser.fetch(mean=True)
    assert weight.tolist() == pytest.approx([mean] * 3, rel=1e-2)
    optimiser.fetch()
    assert weight.tolist() == pytest.approx([second] * 3, rel=1e-2)


def test_a_state_without_a_mean_begins_it_at_its_weights():
    older = Shared.of(3, 1)
    older.masters.fill_(0.5)
    state = {name: value for name, value in older.state().items() if name != "mean"}
    shared = Shared.of(3, 1)
    shared.load(state)
    assert shared.mean.tolist() == [0.5] * 3
