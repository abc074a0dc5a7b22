"""What the names of images seem to say of patients and slices, as patterns for data.group and data.z: a
guess."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

SLICE = r"[_ -](?i:z|slice)[_ -]?(\d+)$"  # lucchi_z038, patient012_frame01_slice_5
VOLUME = r"^(.+)[_ -](?i:z|slice)[_ -]?\d+$"
SUBJECT = r"^([A-Za-z_ -]*\d+)[_ -]"  # patient012_frame01, sub-rat3_a


class Naming(NamedTuple):
    """Patterns that find something in every name, '' where there is none."""

    group: str
    z: str
    groups: Counter[str]  # how many images each group has


def guess(train: Sequence[str], test: Sequence[str] = ()) -> Naming:
    """What the names of training images have in common; where they are slices, those of test images, too.

    A group is a patient or sample, whose number several images bear, or else a volume. One group of all
    images counts where they are slices: these can be dealt by their numbers.
    """
    z = SLICE if _shared(VOLUME, train) and _shared(SLICE, test) is not None else ""
    patterns = (SUBJECT, VOLUME) if z else (SUBJECT,)
    found = {pattern: groups for pattern in patterns if (groups := _shared(pattern, train))}
    several = [pattern for pattern, groups in found.items() if len(groups) > 1]
    group = next(iter(several or (found if z else ())), "")
    return Naming(group, z, found.get(group, Counter()))


def _shared(pattern: str, names: Sequence[str]) -> Counter[str] | None:
    """How often each value is found; none where no two names share one; None where a name has none."""
    found = [match[1] for name in names if (match := re.search(pattern, name))]
    if len(found) < len(names):
        return None
    values = Counter(found)
    return values if len(values) < len(names) else Counter()
