"""Mirror images of chips as further training chips."""

from dataclasses import replace

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import has_separators
from geodiff_sar.data.sample import Sample


def with_mirror_images(samples: list[Sample]) -> list[Sample]:
    """The samples, each followed by its mirror image in cross-range, azimuth 360 - azimuth.

    That is the chip that the mirrored target gives, so targets are taken as symmetric about their long axis. Shadows fall
    away from the radar as before.

    Raises:
        DataError: a chip whose rows are not known to be cross-range, without azimuth, or with a caption that holds
            separators of shuffling.
    """
    found = []
    for sample in samples:
        if sample.grid.range_direction is None:
            raise DataError(
                sample.id,
                "does not say in which direction range grows",
                "a mirror image in range would throw shadows towards the radar",
                "set grid.range_direction in the data folder's dataset.toml, or leave data.mirror out",
            )
        if sample.pose is None or sample.caption.azimuth_deg is None:
            raise DataError(
                sample.id,
                "has no azimuth",
                "a mirror image has 360 minus the azimuth",
                "name it, or leave data.mirror out",
            )
        if has_separators(sample.caption_text):
            raise DataError(
                sample.id,
                f"has the caption {sample.caption_text!r}, with separators of shuffling",
                "the caption of a mirror image is printed from its fields",
                "write the caption without separators, or leave data.mirror out",
            )
        azimuth = (360.0 - sample.pose.azimuth_deg) % 360.0
        caption = sample.caption.with_azimuth(azimuth)
        twin = replace(
            sample,
            id=f"{sample.id} (mirrored)",
            caption=caption,
            caption_text=str(caption),
            pose=Pose(azimuth, sample.pose.depression_deg),
            mask_path=None,
            mirrored=True,
        )
        found += [sample, twin]
    return found
