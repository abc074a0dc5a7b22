"""Which epoch's weights ship.

All candidates are recorded. Two of them are chosen by the Dice or the loss of the held-out images, which
flatters their Dice; and a "switched" model whose best epoch lies before the switch would be a phase-one model
in disguise.
"""

import math
from dataclasses import dataclass, field

from torch import Tensor, nn

CHOICES = ("last", "best", "best_after_switch")


@dataclass
class Checkpoint:
    """An epoch, its validation Dice, what it was chosen by (more is better), and its weights where they had
    to be copied."""

    epoch: int = -1
    dice: float = -1.0
    score: float = -math.inf
    state: dict[str, Tensor] = field(default_factory=dict)


class Checkpoints:
    """The last epoch, the best of all, and the best from `switch_epoch` on; the first of equals stays.

    `ships` is the one of CHOICES whose weights are wanted. No others are copied, and those of the last epoch
    are not either: at the end the network has them.
    """

    def __init__(self, switch_epoch: int, ships: str) -> None:
        self.switch_epoch, self.ships = switch_epoch, ships
        self.kept = {choice: Checkpoint() for choice in CHOICES}

    @property
    def shipped(self) -> Checkpoint:
        """The epoch that ships, so far."""
        return self.kept[self.ships]

    def offer(self, model: nn.Module, epoch: int, dice: float, score: float) -> None:
        """Look at the weights that `model` has after `epoch`; the higher `score` is, the better they are."""
        for choice in CHOICES:
            if self._takes(choice, epoch, score):
                copied = model.state_dict() if choice == self.ships and choice != "last" else {}
                state = {name: value.detach().cpu().clone() for name, value in copied.items()}
                self.kept[choice] = Checkpoint(epoch, dice, score, state)

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights that ship, of a training that ended with `model`."""
        return model.state_dict() if self.ships == "last" else self.shipped.state

    def scores(self) -> dict[str, dict[str, float]]:
        """The epoch and validation Dice of each."""
        return {choice: {"epoch": kept.epoch, "dice": kept.dice} for choice, kept in self.kept.items()}

    def state_dict(self) -> dict[str, dict]:
        """What has been kept, as plain values and tensors."""
        return {choice: vars(kept) for choice, kept in self.kept.items()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Go on from what `state_dict` gave."""
        self.kept = {choice: Checkpoint(**kept) for choice, kept in state.items()}

    def _takes(self, choice: str, epoch: int, score: float) -> bool:
        first = self.switch_epoch if choice == "best_after_switch" else 0
        return choice == "last" or (epoch >= first and score > self.kept[choice].score)
