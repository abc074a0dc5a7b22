"""By how much scores are flattered when each network's epoch was chosen on the images that it is scored on.

The best of many noisy scores is better than what it is worth (Cawley and Talbot, JMLR 11, 2010). From the
folds' histories there are two estimates. Best minus last epoch also counts what is lost by training on.
The best epoch minus the one that the other folds would choose is as in nested cross-validation: that choice
is honest for this fold. Dice is that of the histories: at network size, threshold 0.5.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ftu.probabilities.fold_maps import Selection


def best_minus_last(curves: Sequence[np.ndarray], first: int) -> float:
    """The best Dice from epoch `first` on minus that of the last, mean of the (epochs,) curves; >= 0."""
    return float(np.mean([curve[first:].max() - curve[-1] for curve in curves]))


def best_minus_chosen_on_others(curves: Sequence[np.ndarray], first: int) -> float:
    """The best Dice from epoch `first` on minus that of the epoch that is best in the others' mean; >= 0.

    Mean of the (epochs,) curves, of which there are two or more. They may differ in length: the others choose
    among the epochs that all have.
    """
    shared = np.stack([curve[first : min(map(len, curves))] for curve in curves])
    flattered = []
    for fold, curve in enumerate(curves):
        others = np.delete(shared, fold, axis=0).mean(axis=0)
        flattered.append(curve[first:].max() - shared[fold, others.argmax()])
    return float(np.mean(flattered))


def shown_dice(history: pd.DataFrame) -> np.ndarray:
    """(epochs,) The Dice of the network that ships: of the average where there is one."""
    averaged = history["ema_dice"].notna().all()
    return history["ema_dice" if averaged else "valid_dice"].to_numpy()


def facts(curves: Sequence[np.ndarray], selection: Selection) -> dict[str, str | float]:
    """The rule; where it looked at the scored images, both estimates, of one fold the first alone."""
    rule, first = selection.rule, selection.first
    if rule == "last" or selection.watched or selection.loss:
        return {"rule": selection.named}
    found = {"best_minus_last": best_minus_last(curves, first)}
    if len(curves) > 1:
        found["best_minus_chosen_on_others"] = best_minus_chosen_on_others(curves, first)
    return {"rule": rule} | {name: round(value, 6) for name, value in found.items()}


def words(curves: Sequence[np.ndarray], selection: Selection, *, nested: bool) -> str:
    """`facts` as a paragraph; `nested`: there is an estimate of rules that were chosen on other folds."""
    found = facts(curves, selection)
    if selection.watched:
        return (
            f"The networks' epochs ({selection.named}) were not chosen on these images, but by how compact "
            f"the objects are that they find in the {selection.watched} test images, without masks: what is "
            "said of test images is transductive, and holds for them alone.\n"
        )
    if selection.rule == "last":
        if selection.stopped_early:
            return (
                "The networks are those of the last epoch, but early stopping chose by these images when "
                "that was: the scores may be too high.\n"
            )
        return "The networks are those of the last epoch: no epoch was chosen on these images.\n"
    if selection.loss:
        return (
            f"The networks are those of the epoch of the lowest loss (train.checkpoint {selection.rule}) on "
            "the very images that are scored here: the scores are too high. By how much is not estimated, as "
            "the histories tell it of an epoch that Dice chose.\n"
        )
    said = [
        f"The networks are those of the best epoch (train.checkpoint {selection.rule}), which was chosen on "
        "the very images that are scored here: the scores are too high.",
        f"By the histories (Dice at network size, mean of {len(curves)} fold{'s' * (len(curves) > 1)}), best "
        f"minus last epoch: {found['best_minus_last']:.4f}.",
    ]
    if len(curves) == 1:
        said += ["With one fold there are no others to choose an epoch on."]
    else:
        said += [
            f"Best minus the epoch chosen on the other folds: {found['best_minus_chosen_on_others']:.4f}."
        ]
    lengths = sorted({len(curve) for curve in curves})
    if len(lengths) > 1:
        said += [f"Of {lengths[0]} to {lengths[-1]} epochs the others chose among the first {lengths[0]}."]
    if nested:
        said += ["The rules chosen on other folds do not undo this: they are for these very networks."]
    return " ".join(said) + "\n"
