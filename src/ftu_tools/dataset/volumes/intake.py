"""What is kept of a volume that becomes slices."""

import argparse

from ftu.errors import InputError
from ftu.pipeline.stage import warn
from ftu_tools.dataset.pairs import Pair
from ftu_tools.dataset.rasters import Raster
from ftu_tools.dataset.volumes import challenges, levels, nifti, record
from ftu_tools.dataset.volumes.nifti import Volume
from ftu_tools.dataset.volumes.record import Entry


def label_map(image: Raster, mask: Raster | None) -> Volume | None:
    """The label map of a volume, None where it has none; InputError where it is of another kind or grid."""
    if mask and isinstance(image, Volume) != isinstance(mask, Volume):
        one, other = (mask, image) if isinstance(image, Volume) else (image, mask)
        raise InputError(f"{one.path}: is no NIfTI, and {other.path} is; bring both so")
    if not (isinstance(image, Volume) and isinstance(mask, Volume)):
        return None
    nifti.check_same_grid(image, mask)
    return mask


def entry(pair: Pair, image: Volume, labels: Volume | None, options: argparse.Namespace) -> Entry:
    """What is kept of a volume, but for the labels' values; InputError where it is not to be scaled so."""
    found = levels.of(image, options.range, options.percentiles)
    if options.window and options.window[0] < 0 <= found.lowest:
        warn(
            f"{image.path}: has no value below 0, and of CT air is about -1000 HU; is its scl_inter missing, "
            "or is this no CT?"
        )
    whole = labels or image
    return Entry(
        name=pair.name,
        group=pair.patient,
        frame=challenges.frame(image.path),
        set=options.set if labels else "test",
        source=options.source,
        image=image.path.name,
        labels=labels.path.name if labels else "",
        window=list(options.range) if options.range else None,
        percentiles=list(options.percentiles) if options.percentiles else None,
        levels=list(found.range),
        spacing=list(image.grid.spacing),
        axes=whole.grid.axes,
        values={},
        dtype=str(labels.dtype) if labels else "uint8",
        header=record.encoded(whole.grid.header),
    )
