"""Muon for matrices, Adam for the rest, on float32 masters of bfloat16 weights.

The masters lie in shared memory: every process brings gradients of its own batch, updates its
share of the parameters and takes over the others'. One synchronisation a step, instead of one an
operation, is what keeps two busy cores useful.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import torch
from torch import Tensor, nn

MEAN_STEPS = 100  # the horizon of the weights' moving average
PIXELS = 14 * 14  # of a patch that learns at the full rate


def orthogonalise(update: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: five Newton-Schulz steps (Muon)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update.bfloat16()
    flip = x.shape[0] > x.shape[1]
    if flip:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if flip else x).float()


def _pace(weight: Tensor) -> float:
    """A convolution's share of Adam's rate: a patch's pixels are much alike and pull together."""
    return (PIXELS / weight[0, 0].numel()) ** 0.5 if weight.dim() == 4 else 1.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes share, each a flat float32 tensor over all parameters."""

    masters: Tensor  # (parameters,)
    mean: Tensor  # (parameters,) moving average of the masters: what is exported
    first: Tensor  # (parameters,) momentum
    second: Tensor  # (parameters,) mean square, Adam only
    grads: Tensor  # (processes, parameters)
    norms: Tensor  # (processes,) squared norms of the owned gradients
    clock: Tensor  # (3,) share of the time spent, steps taken, seconds spent by earlier runs

    @classmethod
    def of(cls, parameters: int, processes: int) -> Shared:
        shapes = *(parameters,) * 4, (processes, parameters), processes, 3
        return cls(*(torch.zeros(shape).share_memory_() for shape in shapes))

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs."""
        kept = ("masters", "mean", "first", "second", "clock")
        return {name: getattr(self, name).clone() for name in kept}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in {"mean": state["masters"], **state}.items():  # older ones have no mean
            getattr(self, name).copy_(value)


class Optimiser:
    """One process's view of the shared masters."""

    def __init__(
        self, named: Iterable[tuple[str, nn.Parameter]], shared: Shared, rank: int, barrier: Barrier
    ) -> None:
        self.shared, self.rank, self.barrier = shared, rank, barrier
        self.weights: list[tuple[nn.Parameter, slice, bool]] = []
        offset = 0
        for name, weight in named:
            matrix = weight.dim() == 2 and "embed" not in name and "latent_query" not in name
            span = slice(offset, offset + weight.numel())
            self.weights.append((weight, span, matrix and not name.startswith("aux")))
            offset = span.stop
        self.owned = self.weights[rank :: len(shared.norms)]

    def publish(self) -> None:
        """Make this process's weights the masters."""
        for weight, span, _ in self.weights:
            self.shared.masters[span] = weight.detach().float().flatten()
        self.shared.mean.copy_(self.shared.masters)

    def fetch(self, *, mean: bool = False) -> None:
        """Make the masters, or their moving average, this process's weights."""
        source = self.shared.mean if mean else self.shared.masters
        for weight, span, _ in self.weights:
            weight.data.copy_(source[span].view_as(weight))

    def step(self, muon_lr: float, adam_lr: float, *, clip: float = 2.0) -> None:
        """Average the processes' gradients, update the owned masters, fetch them all."""
        shared = self.shared
        for weight, span, _ in self.weights:
            grad = shared.grads[self.rank, span]
            if weight.grad is None:
                grad.zero_()
            else:
                grad.copy_(weight.grad.flatten())
            weight.grad = None
        self.barrier.wait()
        grads = [shared.grads[:, span].mean(0) for _, span, _ in self.owned]
        shared.norms[self.rank] = sum(float(grad.square().sum()) for grad in grads)
        self.barrier.wait()
        scale = min(1.0, clip / (float(shared.norms.sum().sqrt()) + 1e-6))
        steps = float(shared.clock[1]) + 1
        for (weight, span, matrix), grad in zip(self.owned, grads, strict=True):
            if not grad.any():  # not part of this step: momentum alone must not move it
                continue
            if matrix:
                self._muon(weight, span, grad * scale, muon_lr)
            else:
                self._adam(span, grad * scale, adam_lr * _pace(weight), steps)
            shared.mean[span].lerp_(shared.masters[span], 1 / MEAN_STEPS)
        self.barrier.wait()
        if self.rank == 0:
            shared.clock[1] += 1
        self.fetch()

    def _muon(self, weight: nn.Parameter, span: slice, grad: Tensor, rate: float) -> None:
        momentum = self.shared.first[span]
        momentum.mul_(0.95).add_(grad)
        update = orthogonalise((grad + 0.95 * momentum).view_as(weight))
        tall = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
        self.shared.masters[span].mul_(1 - 0.1 * rate).sub_(update.flatten(), alpha=rate * tall)

    def _adam(self, span: slice, grad: Tensor, rate: float, steps: float) -> None:
        first, second = self.shared.first[span], self.shared.second[span]
        first.lerp_(grad, 0.1)
        second.lerp_(grad * grad, 0.02)
        spread = (second / (1 - 0.98**steps)).sqrt_() + 1e-8
        self.shared.masters[span].sub_(rate * first / (1 - 0.9**steps) / spread)
