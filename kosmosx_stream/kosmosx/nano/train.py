"""Trains kosmos-x-nano from nothing, within a time budget, on a CPU.

    python -m kosmosx_stream.kosmosx.nano.train --minutes 90 --out checkpoint/ --state nano.pt

Phase A teaches the vision tower and the resampler alone, with throw-away heads. Phase B trains
everything on dialogues, which get longer with time. The schedule follows the clock, so a run ends
when it should with its decay done, also where it stood still for a while; a run that was stopped
resumes from `--state`. `--after STATE --minutes 60 --decay 0.6` trains the result of an earlier run
for longer: no phase A, and the last mix of lengths from the beginning. With a checkpoint's folder
for STATE it trains that one, once phase A's heads have learnt from what it sees.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
from transformers import Kosmos2ForConditionalGeneration, PreTrainedTokenizerFast

from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.batches import Batch, Dialogues, Pictures
from kosmosx_stream.kosmosx.nano.dialogues import Writer
from kosmosx_stream.kosmosx.nano.export import LATENTS, export, make_config
from kosmosx_stream.kosmosx.nano.model import AuxiliaryHeads, language_loss, make_model, read, see
from kosmosx_stream.kosmosx.nano.optim import Optimiser, Shared
from kosmosx_stream.kosmosx.nano.tokenizer import Codec, build_tokenizer, words_of
from kosmosx_stream.kosmosx.nano.words import CITIES, NAMES, PETS

Mix = tuple[float, tuple[tuple[int, float], ...]]
# When a mix starts, as a share of phase B, and its (length budget, weight) pairs.
MIXES: tuple[Mix, ...] = (
    (0.0, ((160, 1.0),)),
    (0.2, ((160, 0.6), (320, 0.4))),
    (0.45, ((160, 0.4), (320, 0.35), (640, 0.25))),
    (0.65, ((160, 0.34), (320, 0.26), (640, 0.16), (1100, 0.12), (1960, 0.12))),
    (0.85, ((160, 0.36), (320, 0.26), (640, 0.14), (1100, 0.12), (1960, 0.12))),
)
HEADS_ALONE = 0.02  # phase A's share after a checkpoint: it comes without the heads
WORDS, BOXES = 3.0, 6.0  # weights of what is said; of what is seen it is 1
PAUSE = 10.0  # seconds; a step that took longer stood still, and counts as so long


def advanced(share: float, taken: float, left: float) -> float:
    """The share of the schedule that is done after a step, which took its part of what was left.

    Over steps without a pause that is the share of the time. A pause makes all steps after it count
    for more, instead of skipping a part of the schedule.

    Args:
        share: what was done before the step, 0 to 1.
        taken: seconds since the step before.
        left: seconds until the run is to end.
    """
    taken = min(taken, PAUSE)
    return share + (1 - share) * taken / (taken + max(left, 0.0))


def lexicon(dialogues: int = 2500, least: int = 6) -> list[str]:
    """The words of the dialogues that deserve a piece of their own; names do not, on purpose."""
    writer = Writer(Codec(build_tokenizer([])), np.random.default_rng(7), LATENTS)
    counts: Counter[str] = Counter(
        dict.fromkeys(("Question", "Answer", "Functions", "To", "call", "one"), least)
    )
    for i in range(dialogues):
        for text in writer.write(1500, pictures=i % 3 > 0).texts:
            counts.update(re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", text))
    names = {name.lower() for name in (*NAMES, *CITIES, *PETS)}
    known = [word for word, seen in counts.items() if seen >= least and word.isascii()]
    words = {word for word in known if word.lower() not in names and not word.isupper()}
    return sorted(words | {word.lower() for word in words})


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run, as given on the command line."""

    minutes: float
    out: Path
    state: Path
    after: Path | None
    seed: int
    tokens: int  # per process and step
    pictures: int  # per process and step of phase A
    phase_a: float  # share of the time
    processes: int
    muon_lr: float
    adam_lr: float
    decay: float  # share of the time

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from."""
        return self.after if self.after and self.after.is_dir() else None

    @property
    def seeing(self) -> float:
        """Phase A's share of the time."""
        if self.checkpoint:
            return HEADS_ALONE
        return 0.0 if self.after else self.phase_a

    @property
    def mixes(self) -> Sequence[Mix]:
        return ((0.0, MIXES[-1][1]),) if self.after else MIXES


class Trainer:
    """One process: its model, its batches, its share of the optimiser; rank 0 saves and logs."""

    def __init__(
        self, rank: int, plan: Plan, words: list[str], shared: Shared, barrier: Barrier
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.words, self.rank = plan, words, rank
        self.codec = Codec(build_tokenizer(words))
        config = make_config(self.codec.size)
        self.model = make_model(config, self.codec.first_patch, plan.checkpoint).bfloat16()
        self.aux = AuxiliaryHeads(config.vision_config.hidden_size, config.text_config.embed_dim)
        self.aux.bfloat16()
        named = [*self.model.named_parameters()]
        named += [(f"aux.{name}", weight) for name, weight in self.aux.named_parameters()]
        self.shared = shared
        self.optimiser = Optimiser(named, shared, rank, barrier)
        if float(shared.clock[1]):
            self.optimiser.fetch()
        elif rank == 0:
            self.optimiser.publish()
        barrier.wait()
        before = float(shared.clock[2])
        self.start = time.monotonic() - before
        self.share = before / (plan.minutes * 60)
        self.last = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds spent, over all runs of a resumed training."""
        return time.monotonic() - self.start

    @property
    def batch_seed(self) -> int:
        """Different for each process, phase and resumed run."""
        return self.plan.seed + 1000 * self.rank + 10_000 * int(self.shared.clock[1])

    def _step(self, loss: Tensor) -> None:
        """Warm-up over the first 1 % of the time, flat, linear decay over the last part."""
        loss.backward()
        if self.rank == 0:
            self.shared.clock[0] = self._next_share()
        scale = min(1.0, 0.02 + self.share / 0.01, (1 - self.share) / self.plan.decay)
        self.optimiser.step(self.plan.muon_lr * scale, self.plan.adam_lr * scale)
        self.share = float(self.shared.clock[0])

    def _next_share(self) -> float:
        now = time.monotonic()
        taken, self.last = now - self.last, now
        return advanced(self.share, taken, self.plan.minutes * 60 - self.spent)

    def save(self) -> None:
        """Keep everything needed to go on, replacing the old file in one step."""
        self.shared.clock[2] = self.spent
        state = {"words": self.words, "shared": self.shared.state()}
        partial = self.plan.state.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.plan.state)

    def export(self) -> None:
        """Write the checkpoint, of the weights' moving average."""
        self.optimiser.fetch(mean=True)
        export(self.model, self.codec.tokenizer, self.plan.out)
        self.optimiser.fetch()

    def picture_step(self, batch: Batch) -> dict[str, float]:
        with torch.set_grad_enabled(not self.plan.checkpoint):
            patches, latents = see(self.model, batch.images)
        loss = self._auxiliary(batch, patches, latents)
        self._step(loss)
        return {"aux": float(loss.detach())}

    def _auxiliary(self, batch: Batch, patches: Tensor, latents: Tensor) -> Tensor:
        outputs = self.aux.patch(F.normalize(patches, dim=-1) * patches.shape[-1] ** 0.5)
        loss = self.aux.loss(outputs.flatten(0, 1), batch.patch_targets)
        outputs = self.aux.latent(latents * latents.shape[-1] ** 0.5)
        return loss + self.aux.loss(outputs.flatten(0, 1), batch.latent_targets)

    def dialogue_step(self, batch: Batch, pictures: Batch) -> dict[str, float]:
        """Learn from dialogues, and go on learning to see from pictures alone."""
        both = torch.cat([batch.images, pictures.images])
        patches, latents = see(self.model, both)
        count = len(batch.images)  # may be none
        hidden = read(self.model, batch, latents[:count])
        words, boxes = language_loss(self.model, batch, hidden, self.codec.first_patch)
        rest = (1 - self.share) / (1 - self.plan.seeing)
        total = WORDS * words + BOXES * boxes
        total = total + self._auxiliary(pictures, patches[count:], latents[count:])
        if count:
            total = total + 0.5 * rest * self._auxiliary(batch, patches[:count], latents[:count])
        self._step(total)
        return {"words": float(words.detach()), "boxes": float(boxes.detach())}

    def run(self) -> None:
        """Both phases, to the end of the time."""
        plan, log = self.plan, Log(self)
        if self.share < plan.seeing:
            for batch in prepared(Pictures(self.batch_seed, plan.pictures)):
                log.add(self.picture_step(batch), len(batch.images))
                if self.share >= plan.seeing:
                    break
        for i, (_, mix) in enumerate(plan.mixes):
            starts = [start for start, _ in plan.mixes[i + 1 :]]
            ends = [plan.seeing + (1 - plan.seeing) * start for start in starts]
            end = ends[0] if ends else 1.0
            if self.share >= end:
                continue
            pictures = prepared(Pictures(self.batch_seed, plan.pictures))
            for batch in prepared(Dialogues(self.codec, self.batch_seed, plan.tokens, mix)):
                log.add(self.dialogue_step(batch, next(pictures)), batch.ids.numel())
                if self.share >= end:
                    break
        if self.rank == 0:
            self.save()
            self.export()


def prepared(batches: IterableDataset[Batch]) -> Iterator[Batch]:
    """The batches, made ahead of use in a process of their own."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
            multiprocessing_context="fork",
        )
    )


class Log:
    """Rank 0 prints running means now and then, saves every 5 minutes, exports every 15."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.jobs = [(300.0, trainer.save), (900.0, trainer.export)] if trainer.rank == 0 else []
        self.due = [trainer.spent + period for period, _ in self.jobs]
        self.means: dict[str, list[float]] = {}
        self.steps, self.work, self.last = 0, 0, time.monotonic()

    def add(self, values: dict[str, float], work: int) -> None:
        self.steps += 1
        self.work += work
        for key, value in values.items():
            self.means.setdefault(key, []).append(value)
        if self.steps % 50 == 0 and self.trainer.rank == 0:
            self._print()
        for i, (period, job) in enumerate(self.jobs):
            if self.trainer.spent >= self.due[i]:
                self.due[i] += period
                job()

    def _print(self) -> None:
        now = time.monotonic()
        rate = self.work / (now - self.last)
        parts = [f"{key} {sum(v) / len(v):.3f}" for key, v in self.means.items()]
        print(
            f"{self.trainer.spent / 60:6.1f} min step {self.steps}",
            *parts,
            f"{rate:.0f}/s",
            flush=True,
        )
        self.means, self.work, self.last = {}, 0, now


def _work(rank: int, plan: Plan, words: list[str], shared: Shared, barrier: Barrier) -> None:
    torch.set_num_threads(1)
    Trainer(rank, plan, words, shared, barrier).run()


def _words(checkpoint: Path | None) -> list[str]:
    if checkpoint:
        return words_of(PreTrainedTokenizerFast.from_pretrained(checkpoint))
    return lexicon()


def train(plan: Plan) -> None:
    """Run the plan in one process a core, from where the saved state left off."""
    before = plan.state if plan.state.exists() else plan.after
    saved = None
    if before and before != plan.checkpoint:
        saved = torch.load(before, weights_only=False)
    words = saved["words"] if saved else _words(plan.checkpoint)
    config = make_config(Codec(build_tokenizer(words)).size)
    model = Kosmos2ForConditionalGeneration(config)
    aux = AuxiliaryHeads(config.vision_config.hidden_size, config.text_config.embed_dim)
    count = sum(weight.numel() for part in (model, aux) for weight in part.parameters())
    shared = Shared.of(count, plan.processes)
    if saved:
        shared.load(saved["shared"])
        if before == plan.after:
            shared.clock[0] = shared.clock[2] = 0
    barrier = get_context("spawn").Barrier(plan.processes)
    spawn(_work, (plan, words, shared, barrier), plan.processes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Train kosmos-x-nano.")
    parser.add_argument("--minutes", type=float, default=90, help="time budget, all runs together")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="folder of the checkpoint")
    parser.add_argument("--state", type=Path, default=Path("nano-state.pt"), help="to resume from")
    parser.add_argument("--after", type=Path, help="a state or a checkpoint to go on from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=3072, help="a step and process")
    parser.add_argument("--pictures", type=int, default=32, help="a step and process of phase A")
    parser.add_argument("--phase-a", type=float, default=0.2, help="its share of the time")
    parser.add_argument("--processes", type=int, default=2, help="one a core")
    parser.add_argument("--muon-lr", type=float, default=3e-3)
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.35, help="its share of the time")
    train(Plan(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    main()
