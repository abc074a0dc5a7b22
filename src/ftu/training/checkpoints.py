"""Which epoch's weights ship.

Both candidates are recorded: a "switched" model whose best epoch lies before the switch would be a phase-one
model in disguise.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

CHOICES = ("best", "best_after_switch")


@dataclass
class Checkpoint:
    """The weights of the epoch with the highest validation Dice so far; the first of equals stays."""

    epoch: int = -1
    dice: float = -1.0
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, model: nn.Module, epoch: int, dice: float) -> None:
        """Keep a copy of the model's weights if this epoch is better."""
        if dice > self.dice:
            self.epoch, self.dice = epoch, dice
            self.state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class Checkpoints:
    """The best epoch of all, and the best from `switch_epoch` on."""

    def __init__(self, switch_epoch: int) -> None:
        self.switch_epoch = switch_epoch
        self.kept = {choice: Checkpoint() for choice in CHOICES}

    def offer(self, model: nn.Module, epoch: int, dice: float) -> None:
        """Look at the weights that `model` has after `epoch`."""
        self.kept["best"].offer(model, epoch, dice)
        if epoch >= self.switch_epoch:
            self.kept["best_after_switch"].offer(model, epoch, dice)

    def scores(self) -> dict[str, dict[str, float]]:
        """The epoch and validation Dice of both."""
        return {choice: {"epoch": kept.epoch, "dice": kept.dice} for choice, kept in self.kept.items()}

    def state_dict(self) -> dict[str, dict]:
        """What has been kept, as plain values and tensors."""
        return {choice: vars(kept) for choice, kept in self.kept.items()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Go on from what `state_dict` gave."""
        self.kept = {choice: Checkpoint(**kept) for choice, kept in state.items()}
