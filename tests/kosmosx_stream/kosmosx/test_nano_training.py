"""A taste of nano's training: its schedule, a few steps, and the weights that it writes."""

from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest
import torch
from torch import nn
from transformers import Kosmos2ForConditionalGeneration

from kosmosx_stream.kosmosx.nano.batches import Dialogues, Pictures
from kosmosx_stream.kosmosx.nano.chat import Nano
from kosmosx_stream.kosmosx.nano.export import make_config
from kosmosx_stream.kosmosx.nano.model import AuxiliaryHeads
from kosmosx_stream.kosmosx.nano.optim import MEAN_STEPS, Optimiser, Shared
from kosmosx_stream.kosmosx.nano.tokenizer import Codec, build_tokenizer
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


def test_a_few_steps_of_training_reduce_the_loss(tmp_path: Path):
    config = make_config(Codec(build_tokenizer(WORDS)).size)
    torch.set_num_threads(1)
    aux = AuxiliaryHeads(256, 256)
    plan = Plan(
        minutes=1,
        out=tmp_path / "out",
        state=tmp_path / "state.pt",
        after=None,
        seed=1,
        tokens=400,
        pictures=4,
        phase_a=0.1,
        processes=1,
        muon_lr=3e-3,
        adam_lr=2e-3,
        decay=0.35,
    )
    model = Kosmos2ForConditionalGeneration(config)
    size = sum(weight.numel() for part in (model, aux) for weight in part.parameters())
    trainer = Trainer(0, plan, WORDS, Shared.of(size, 1), Barrier(1))
    pictures = next(iter(Pictures(0, 8)))
    seen_losses = [trainer.picture_step(pictures)["aux"] for _ in range(6)]
    assert seen_losses[-1] < seen_losses[0]
    batch = next(iter(Dialogues(trainer.codec, 0, 400, ((160, 1.0),))))
    losses = [trainer.dialogue_step(batch, pictures)["loss"] for _ in range(4)]
    assert losses[-1] < losses[0]
    trainer.save()
    trainer.export()
    assert Nano(tmp_path / "out").chat().ask("Hi") is not None


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
