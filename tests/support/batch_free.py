"""Trains a network without batch statistics, dropout or stochastic depth, in torchrun's processes.

`torchrun --nproc-per-node N batch_free.py FOLDER ACCUMULATE` takes toy images from FOLDER, and prints the
history and the auxiliary heads as JSON. Not a test: what tests/pipeline/test_launch.py runs.
"""

import json
import sys
from pathlib import Path

import toy


def main(folder: Path, accumulate: int) -> None:
    training = toy.prepare(
        folder, "switched", network=toy.plain, epochs=4, batch_size=4, accumulate=accumulate,
        lr=1e-2, scheduler={"kind": "onecycle"}, clip=0.5, ema=0.9,
    ).finish()  # fmt: skip
    accelerator = training.run.accelerator
    if accelerator.is_main_process:
        heads = [head.state_dict()["weight"].flatten().tolist() for head in training.run.segmenter.aux_heads]
        print(json.dumps({"processes": accelerator.num_processes, "rows": training.run.rows, "heads": heads}))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
