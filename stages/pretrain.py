"""Let the network of a fold learn from images alone, or in steps of its own, before it is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftu.files import jsonfile
from ftu.pipeline import launch, paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.sections.pretraining import Step
from ftu.pipeline.stage import fold_argument, run, warn

if TYPE_CHECKING:
    from ftu.networks.common.contract import Segmenter

OFF = {"steps": []}  # the same bytes for any parameters: nothing trains anew for them


def main() -> str:
    number, params = fold_argument(), load_params(paths.PARAMS)
    if params.pretrain.steps:
        launch.launch(params.train.processes)
        return pretrain(number, params)
    keep = looking(params.train.watch)
    with whole_folder(paths.pretrained(number)) as folder:
        jsonfile.write(folder / "pretrain.json", OFF)
        keep(folder)
    return "no epochs (pretrain.steps: [])"


def pretrain(number: int, params: Params) -> str:
    from ftu.networks.common import devices
    from ftu.training import fold, resume
    from ftu.training.accelerator import accelerate
    from ftu.training.pretraining import kept, steps

    model, seed, loss = params.train.model, params.train.seed, params.train.loss
    chosen = {f"pretrain.steps.{place}": step for place, step in enumerate(params.pretrain.steps)}
    device = devices.choose_device(params.train.device, launch.local(params.train.processes))
    precision = devices.usable_precision(device, params.train.precision, "train.precision")
    accelerator = accelerate(device, precision, 1)
    size = {"size": params.resize.side, "channels": params.data.channels}
    reconstruct, classes = params.pretrain.reconstruct, len(params.data.classes)
    architecture = steps.described(model.model_dump(), reconstruct, **size, classes=classes)
    network, source = begin(params, architecture, chosen)

    learnt, test, shown = images(number, chosen)
    keep = looking(params.train.watch)
    mean, std = fold.statistics(
        params.train.standardize,
        encoder=model.encoder,
        weights=params.train.weights,
        channels=params.data.channels,
        images=[paths.NORMALIZED / "train" / f"{name}.png" for name in learnt],
    )
    matched = [paths.LEVELS] if any(step.match for step in params.pretrain.steps) else []
    augment = params.augment.model_dump() | {"levels": fold.levels(matched)}
    how = {"mean": mean, "std": std, "channels": params.data.channels, "cache": params.train.cache}
    how |= params.resize.model_dump(include={"side", "mode"})
    values = {"samples": how, "augment": params.augment.model_dump(), "loss": loss.model_dump()}
    values |= {"aux_source": params.train.aux_source, "aux_target": params.train.aux_target, "seed": seed}
    values |= {"threads": params.train.threads, "processes": params.train.processes}
    values |= {"precision": precision, "device": device.type, "architecture": architecture}
    values["steps"] = []

    rows, states, contrast, main_process = {}, [], {}, accelerator.is_main_process
    for place, (key, step) in enumerate(chosen.items()):
        names, own = shown[key], step.model_dump()
        drawn = steps.samples(
            paths.NORMALIZED, paths.RESIZED / "masks", names, **how, augment=augment,
            seed=steps.seed_of(seed, place), crops=step.crops, corrupt=step.corrupt, match=step.match,
        )  # fmt: skip
        values["steps"].append(own)  # the states of later steps are of all before them, too
        files = [paths.FOLDS, *matched, *drawn.files()]
        run_key = resume.run_key(files, fold=number, params=values, weights=source)
        states.append(resume.StateFile(paths.state(number, run_key), writes=main_process))
        tell(f"pretrain: {step.name}, {len(names)} images" if main_process else "")
        running = steps.learn(
            network, accelerator, drawn, states[-1], step=own, loss=values["loss"],
            aux_target=params.train.aux_target, workers=params.train.workers, key=key,
        )  # fmt: skip
        rows[step.name], network = running.rows, steps.renewed(architecture, running)
        if main_process and step.terms.get("reconstruct"):
            contrast[step.name] = steps.contrast(network, drawn)
            warn(steps.flat(step.name, contrast[step.name]))
    if main_process:
        facts = steps.facts(values["steps"], learnt, test) | {"encoder_weights": source}
        with whole_folder(paths.pretrained(number)) as folder:
            keep(folder)
            kept.save(folder, network.state_dict(), facts | {"contrast": contrast})
            steps.history(rows).to_csv(folder / "history.csv", index=False)
    for state in states:
        state.remove()
    return f"{sum(map(len, rows.values()))} epochs in {len(rows)} steps" if main_process else ""


def begin(
    params: Params, architecture: dict[str, Any], chosen: Mapping[str, Step]
) -> tuple[Segmenter, dict[str, str]]:
    """The network with its first weights, on which every step was found able to train, and their source."""
    from ftu.networks.common import devices
    from ftu.training import fold, frozen
    from ftu.training.pretraining import steps
    from ftu.training.rounds import Rounds

    model = params.train.model
    for key, step in chosen.items():
        rounds = Rounds(architecture, step.batch_size, 1, params.train.processes, f"{key}.batch_size")
        rounds.check()
        rounds.try_step()
    devices.fix_randomness(params.train.seed, params.train.threads, params.train.device)
    network, source = fold.network(
        architecture,
        encoder=model.encoder,
        weights=params.train.weights,
        aux_source=params.train.aux_source,
        parts=params.train.weights_parts,
    )
    for key, step in chosen.items():
        frozen.freeze(network, step.freeze, f"{key}.freeze")
        reached = steps.reached(step.model_dump()["terms"], params.pretrain.reconstruct)
        frozen.check_learning(network, reached, f"{key}.freeze")
    return network, source


def images(number: int, chosen: Mapping[str, Step]) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """The ids that the fold learns from, those of the test set, and what each step shows of both."""
    from ftu.files import folds
    from ftu.training.pretraining import steps

    learnt, _ = folds.divide(folds.read_folds(paths.FOLDS), number)
    test = test_images()
    shown = {key: steps.shown(step.use, learnt, test) for key, step in chosen.items()}
    for key, step in chosen.items():
        steps.check_images(key, step.use, step.batch_size, step.crops, shown[key], test)
    return learnt, test, shown


def test_images() -> list[str]:
    from ftu.files.index import read_index

    index = read_index(paths.IMAGES)
    return list(index.loc[index["set"] == "test", "id"])


def looking(watch: str) -> Callable[[Path], None]:
    """What lays the test images that train looks at into a folder; InputError where there are none."""
    if watch != "solidity":
        return lambda _: None
    from ftu.training.pretraining import watched

    found = [paths.NORMALIZED / "test" / f"{name}.png" for name in test_images()]
    watched.check(found)
    return partial(watched.keep, images=found)


def tell(words: str) -> None:
    if words:
        sys.stderr.write(f"{words}\n")


if __name__ == "__main__":
    run(main)
