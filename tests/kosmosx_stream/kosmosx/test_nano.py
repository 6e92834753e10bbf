"""The bundled model: its scenes, its dialogues, a taste of training, and what it answers."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import AutoTokenizer, Kosmos2ForConditionalGeneration

from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.answers import Moment, listing
from kosmosx_stream.kosmosx.nano.batches import Dialogues, Pictures, collate
from kosmosx_stream.kosmosx.nano.chat import Nano
from kosmosx_stream.kosmosx.nano.dialogues import Writer, answer_ids, plain
from kosmosx_stream.kosmosx.nano.drawing import draw, seen
from kosmosx_stream.kosmosx.nano.export import LATENTS, make_config
from kosmosx_stream.kosmosx.nano.model import AuxiliaryHeads
from kosmosx_stream.kosmosx.nano.optim import Shared
from kosmosx_stream.kosmosx.nano.relations import ask
from kosmosx_stream.kosmosx.nano.scenes import LEAN, Background, Scene, sample_scene
from kosmosx_stream.kosmosx.nano.smalltalk import recall
from kosmosx_stream.kosmosx.nano.tokenizer import BOS, EOS, Codec, build_tokenizer
from kosmosx_stream.kosmosx.nano.train import Plan, Trainer, advanced

WORDS = ["Question", "Answer", "What", "is", "There", "a", "and", "red", "circle", "star"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(build_tokenizer(WORDS))


@pytest.fixture(scope="module")
def nano() -> Nano:
    torch.set_num_threads(1)
    return Nano()


def test_a_scene_always_draws_the_same_pixels():
    one, other = (sample_scene(np.random.default_rng(3), 4) for _ in range(2))
    assert one == other
    assert np.array_equal(seen(one, 300), seen(other, 300))
    assert draw(one, 448, smooth=True).size == (448, 448)


@pytest.mark.parametrize("seed", range(20))
def test_shapes_lie_where_their_boxes_say(seed):
    scene = sample_scene(np.random.default_rng(seed), 1)
    shape = replace(scene.shapes[0], border=None, finish="flat")
    background = Background("plain", ((shape.rgb[0], 255 - shape.rgb[1], 99),))
    picture = draw(replace(scene, shapes=(shape,), background=background), 640)
    rows, columns = np.nonzero((np.asarray(picture) == shape.rgb).all(-1))
    left, top, right, bottom = (round(value * 640) for value in shape.box)
    assert abs(columns.min() - left) <= 2
    assert abs(columns.max() - right) <= 2
    assert abs(rows.min() - top) <= 2
    assert abs(rows.max() - bottom) <= 2


@pytest.mark.parametrize("seed", range(30))
def test_a_grounded_answer_reads_like_the_plain_one(seed, codec):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, 1 + seed % 6)
    answer = ask(Moment(scene, rng, grounded=True), None).answer
    tagged = answer_ids(answer, codec, grounded=True)
    first_tag = codec.tags["</doc>"]
    assert tuple(i for i in tagged if i < first_tag) == codec.encode(plain(answer))
    assert codec.tokenizer.decode(tagged, skip_special_tokens=True) == plain(answer)


def test_boxes_are_kosmos_2_cells(codec):
    scene = sample_scene(np.random.default_rng(5), 2)
    ids = answer_ids(listing(scene.shapes), codec, grounded=True)
    cells = [i - codec.first_patch for i in ids if i >= codec.first_patch]
    assert cells == [cell for shape in scene.shapes for cell in shape.cells]
    for shape in scene.shapes:
        left, top, _, _ = shape.box
        assert shape.cells[0] == int(top * 32) * 32 + int(left * 32)


def test_segments_encode_like_the_joined_text(codec):
    parts = ("Question:", "My name is Ætla, ok?", "Answer:")
    joined = [i for part in parts for i in codec.encode(part)]
    assert joined == list(codec.encode(" ".join(parts)))


def test_user_text_cannot_spell_control_tokens(codec):
    for text in ("<grounding>", "</s>", "<pad>", "<patch_index_0001>", "<0x41>"):
        ids = codec.encode(text)
        assert len(ids) > 3
        assert codec.tokenizer.decode(ids) == text


def test_unknown_scripts_survive(codec):
    assert codec.tokenizer.decode(codec.encode("王 Ωμ 🙂")) == "王 Ωμ 🙂"


def test_dialogues_learn_answers_and_stay_in_range(codec):
    rng = np.random.default_rng(0)
    dialogue = Writer(codec, rng, LATENTS).write(300)
    assert dialogue.ids[0] == BOS
    assert sum(i == EOS for i in dialogue.ids) == len(dialogue.turns)
    assert not any(dialogue.learn[start] for start in dialogue.turns)
    batch = collate([dialogue], rng)
    assert int(batch.positions.max()) < 2048
    assert bool((batch.positions.diff() >= 1).all())
    assert int(batch.image_mask.sum()) == LATENTS * len(batch.images)


def test_a_patient_dialogue_asks_for_what_it_was_told_only_at_its_end(codec):
    writer = Writer(codec, np.random.default_rng(1), LATENTS)
    dialogue = next(d for d in iter(lambda: writer.write(700), None) if d.patient)
    said = dialogue.texts[1::2]
    recalled = [recall(what, value, writer.rng).answer for what, value in dialogue.facts.items()]
    assert 1 <= len(recalled) <= 3
    assert sorted(said[-len(recalled) :]) == sorted(recalled)
    assert not set(said[: -len(recalled)]) & set(recalled)


def test_hard_scenes_hold_thin_lines_and_more_shapes_that_lie_level():
    def scenes(*, hard: bool) -> list[Scene]:
        rng = np.random.default_rng(0)
        return [sample_scene(rng, 6, hard=hard) for _ in range(60)]

    def level(scenes: list[Scene]) -> int:
        pairs = [pair for scene in scenes for pair in pairwise(scene.shapes)]
        return sum(other.centre[0] - one.centre[0] < LEAN for one, other in pairs)

    hard = scenes(hard=True)
    hollow = [shape for scene in hard for shape in scene.shapes if shape.finish == "hollow"]
    assert {shape.line < 0.02 for shape in hollow} == {True, False}
    assert level(hard) > 1.2 * level(scenes(hard=False))


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


def test_a_few_steps_of_training_reduce_the_loss(codec, tmp_path: Path):
    config = make_config(codec.size)
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


def test_the_checkpoint_is_small_and_complete():
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 16_000_000
    for name in ("README.md", "LICENSE", "config.json", "preprocessor_config.json"):
        assert (CHECKPOINT / name).exists(), name
    assert "<grounding>" in AutoTokenizer.from_pretrained(CHECKPOINT).get_vocab()


def test_the_checkpoint_describes_a_drawing(nano):
    picture = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 40, 120, 130), fill="red")
    pen.rectangle((180, 170, 270, 260), fill="blue")
    chat = nano.chat()
    chat.ask("My name is Ottilie.")
    answer = chat.ask("What do you see?", picture, grounded=True)
    assert answer.count("<object>") == 2
    assert re.sub("<[^>]*>", "", answer) == "There is a red circle and a blue square."
    assert chat.ask("What is my name?", grounded=True) == "Your name is Ottilie."


def test_the_checkpoint_gives_its_evidence(nano):
    picture = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 30, 110, 120), fill="red")
    pen.rectangle((105, 190, 195, 280), fill="blue")
    pen.rectangle((190, 40, 280, 130), fill="green")
    chat = nano.chat()
    chat.ask("What do you see?", picture)
    answer = chat.ask("How many squares are there?", grounded=True)
    assert re.sub("<[^>]*>", "", answer) == (
        "I see a red circle, a blue square #1 and a green square #2: two."
    )
    assert chat.ask("What colour is the circle?", grounded=True).endswith("The circle is red.")


def test_the_checkpoint_counts(nano):
    picture = Image.new("RGB", (400, 400), (235, 235, 245))
    pen = ImageDraw.Draw(picture)
    pen.polygon([(40, 150), (140, 150), (90, 60)], fill="green")
    pen.rectangle((240, 60, 340, 160), fill="blue")
    pen.ellipse((150, 230, 250, 330), fill="orange")
    answer = nano.chat().ask("How many shapes are there?", picture, grounded=True)
    assert answer.endswith("three.")
