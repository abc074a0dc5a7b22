"""What the third paper's losses pull at, as printed and as built: the tables of docs/ms-twins.md.

PYTHONPATH=src python benchmarks/cascade.py
"""

import sys
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ftu.files import markdown
from ftu.training.losses.cascade import contrast, level, overlaps
from ftu.training.losses.terms import shares

CLASSES, SIDE = 3, 32


def slope(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


def of_one_pixel() -> Iterable[list[str]]:
    """The value of equation 2 and its slope in the probability of the true class, and those of `level`."""
    for value in (0.1, 0.5, 0.9):
        p = torch.tensor(value, requires_grad=True)
        printed = (1 - p) ** 2 * p.log()
        built = level(p.logit().reshape(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
        numbers = (printed, slope(printed, p), built, slope(built, p))
        yield [f"{value:g}", *(f"{number.item():.3f}" for number in numbers)]


def drawn(sure: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Logits that are right by `sure` (of each class) beside noise of 1, and the shares that are true."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(CLASSES, (1, 1, SIDE, SIDE), generator=generator).float()
    known = shares(masks, CLASSES)
    logits = torch.randn(1, CLASSES, SIDE, SIDE, generator=generator)
    return logits + known * torch.tensor(sure)[:, None, None], known


def of_pairs() -> Iterable[list[str]]:
    """Equation 1 with a minimum over pairs, and `contrast`: the value, and how strong its gradient is."""
    for name, sure in {
        "nothing is learnt": (0.0, 0.0, 0.0),
        "one pair is still mixed up": (40.0, 0.0, 0.0),
    }.items():
        logits, known = drawn(sure)
        logits[:, 0] = torch.where(known[:, 0] > 0, logits[:, 0], logits[:, 0] - sure[0])
        logits.requires_grad_()
        pairs = overlaps(logits, torch.ones(1))[torch.ones(CLASSES, CLASSES).triu(1).bool()]
        minimum, mean = pairs.min(), contrast([logits], known)
        pulls = [torch.autograd.grad(each, logits, retain_graph=True)[0].norm() for each in (minimum, mean)]
        yield [name, *(f"{number.item():.2g}" for number in (minimum, pulls[0], mean, pulls[1]))]


def minimised(steps: int = 2000) -> tuple[float, list[float]]:
    """The value that `contrast` alone comes to from random logits, and the shares of the classes there."""
    logits, known = drawn((0.0,) * CLASSES)
    free = logits.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        contrast([free], known).backward()
        optimizer.step()
    likeliest = free.argmax(1)
    return contrast([free], known).item(), [
        (likeliest == each).float().mean().item() for each in range(CLASSES)
    ]


def main() -> None:
    """Print the tables."""
    head = ["p", "printed", "its slope", "built", "its slope"]
    sys.stdout.write("\n".join([*markdown.table(head, of_one_pixel()), ""]) + "\n")
    head = ["predictions", "minimum over pairs", "its gradient", "mean over pairs", "its gradient"]
    sys.stdout.write("\n".join([*markdown.table(head, of_pairs()), ""]) + "\n")
    even = torch.zeros(1, CLASSES, SIDE, SIDE, requires_grad=True)
    overlap = contrast([even], drawn((0.0,) * CLASSES)[1])
    value, kept = minimised()
    sys.stdout.write(
        f"even odds: {overlap.item():.4f}, norm of the gradient {slope(overlap, even).norm().item():.1e}\n"
        f"minimised alone: {value:.4f}, shares {', '.join(f'{each:.2f}' for each in kept)}\n"
    )


if __name__ == "__main__":
    main()
