"""What `train.recompute` saves and costs: peak memory and time of training steps, with and without.

PYTHONPATH=src python benchmarks/recompute.py [--encoder resnet101 --decoder unet --size 512 --batch 4]

Each in a process of its own, in turn, on the CPU; the peer is the same network that keeps everything. Memory
is the peak of the whole process less what it held before its first step.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median

NETWORKS = (("coat_lite_tiny", "daformer"), ("mobilenet_v2", "unet"), ("resnet50", "unet"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder")
    parser.add_argument("--decoder", default="unet")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=["keep", "forget"])
    words = parser.parse_args()
    if words.measure:
        print(json.dumps(measured(words)))
        return
    print(f"{words.batch} images of {words.size} px, a step; GiB above what the process held before")
    networks = [(words.encoder, words.decoder)] if words.encoder else NETWORKS
    for encoder, decoder in networks:
        turns = [
            {way: in_a_process(words, encoder, decoder, way) for way in ("keep", "forget")} for _ in range(3)
        ]
        memory, seconds = (
            {way: median(turn[way][number] for turn in turns) for way in ("keep", "forget")}
            for number in (0, 1)
        )
        print(
            f"{encoder:16s} {decoder:10s} memory {memory['keep']:5.2f} to {memory['forget']:5.2f} GiB "
            f"({memory['forget'] / memory['keep']:.2f}), time x {seconds['forget'] / seconds['keep']:.2f}",
            flush=True,
        )


def in_a_process(words: argparse.Namespace, encoder: str, decoder: str, way: str) -> tuple[float, float]:
    command = [sys.executable, __file__, "--measure", way, "--encoder", encoder, "--decoder", decoder]
    for name in ("size", "batch", "width", "repeats"):
        command += [f"--{name}", str(getattr(words, name))]
    memory, seconds = json.loads(
        subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    )
    return memory, seconds


def measured(words: argparse.Namespace) -> tuple[float, float]:
    """GiB at the peak of some steps beyond what was held before, and the median seconds of a step."""
    import torch

    from ftu.networks.encoder_decoder.segmenter import build_segmenter
    from ftu.training.recompute import forget_between

    torch.manual_seed(0)
    network = build_segmenter(
        encoder=words.encoder, decoder=words.decoder, width=words.width, fuse="conv1x1", size=words.size
    ).train()
    if words.measure == "forget":
        forget_between(network.encoder)
    images = torch.rand(words.batch, 3, words.size, words.size)
    before, times = peak(), []
    for _ in range(words.repeats):
        start = time.perf_counter()
        network(images).logits.mean().backward()
        times.append(time.perf_counter() - start)
    return (peak() - before) / 2**20, median(times)


def peak() -> int:
    """KiB, the most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
