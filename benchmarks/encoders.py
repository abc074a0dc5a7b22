"""Which encoders train with which decoders: every one of smp, and two of each of timm's families.

PYTHONPATH=src python benchmarks/encoders.py [--seconds 600] [--jobs 2]

What training would do before its first image (`Rounds.check` and `try_step`), at 64 and 256 px, in a process
for each case, with a time limit. It goes on where benchmarks/encoders.csv ends, and prints a summary. No
weights are fetched. A case trains, is refused in words, took too long, or broke: none may break.
"""

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product, zip_longest
from multiprocessing.connection import Connection
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch

from ftu.errors import InputError
from ftu.files import csvfile
from ftu.networks.encoder_decoder.segmenter import DECODERS
from ftu.training.rounds import Rounds

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("encoder", "decoder", "size", "result", "words")
SIZES, OF_A_FAMILY, LIMIT = (64, 256), 2, 60  # px; encoders; s
VAST = ("giant", "gigantic", "huge", "large", "xl", "xx", "enormous", "so400m", "7b")  # in names
Case = tuple[str, str, int]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no case after so long")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    words = parser.parse_args()
    torch.set_num_threads(1)
    if not TABLE.exists():
        TABLE.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    known = csvfile.read_csv(TABLE)
    done = set(zip(known["encoder"], known["decoder"], known["size"].astype(int), strict=True))
    due, end = [case for case in cases() if case not in done], time.monotonic() + words.seconds
    with ThreadPoolExecutor(words.jobs) as pool:
        for case, told in zip(due, pool.map(lambda case: outcome(case, end), due), strict=True):
            if told:
                with TABLE.open("a", encoding="utf-8") as file:
                    file.write(",".join([*map(str, case), *(word.replace(",", ";") for word in told)]) + "\n")
    table = csvfile.read_csv(TABLE)
    print(f"{len(table)} of {len(due) + len(done)} cases: {dict(Counter(table['result']))}")


def cases() -> Iterator[Case]:
    """Encoders of smp and of timm's families in turn, so that a part of the list is a sample of it."""
    families: dict[str, list[str]] = {}
    for name in timm.list_models():
        family = timm.models.model_entrypoint(name).__module__
        if not any(word in name for word in VAST):
            families.setdefault(family, []).append(f"tu-{name}")
    ours = [*smp.encoders.get_encoder_names(), *timm.list_models("coat_*")]
    theirs = [name for names in families.values() for name in names[:OF_A_FAMILY]]
    for name in filter(None, chain.from_iterable(zip_longest(ours, theirs))):
        for decoder, size in product(DECODERS, SIZES):
            yield name, decoder, size


def outcome(case: Case, end: float) -> tuple[str, str] | None:
    """The result and its words; none where the time is over."""
    if time.monotonic() > end:
        return None
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=attempt, args=(case, send))
    process.start()
    send.close()
    try:
        told = receive.recv() if receive.poll(LIMIT) else ("late", f"more than {LIMIT} s")
    except EOFError:
        told = ("broke", "the process died")
    process.kill()
    process.join()
    return told


def attempt(case: Case, send: Connection) -> None:
    """What training would do with a case before it reads an image."""
    encoder, decoder, size = case
    network = {"family": "encoder_decoder", "encoder": encoder, "decoder": decoder, "width": 64}
    rounds = Rounds({**network, "fuse": "conv1x1", "drop_path": 0, "size": size}, 4, 1, 1)
    try:
        rounds.check()
        rounds.try_step()
    except InputError as error:
        send.send(("refused", str(error).replace("\n", " ")))
    except BaseException as error:  # what the sweep is after
        send.send(("broke", f"{type(error).__name__}: {' '.join(str(error).split())}"))
    else:
        send.send(("trains", ""))


if __name__ == "__main__":
    main()
