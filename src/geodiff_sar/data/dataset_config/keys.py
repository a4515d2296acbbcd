"""Keys of sd-scripts' dataset configuration: what each holds and in which tables it may stand."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError

GENERAL, DATASET, SUBSET = "[general]", "[[datasets]]", "[[datasets.subsets]]"

_Count = Annotated[int, Field(strict=True, ge=0)]
_Positive = Annotated[int, Field(strict=True, ge=1)]
_Pair = Annotated[list[Annotated[int, Field(strict=True, ge=1)]], Field(min_length=2, max_length=2)]
_Share = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]
_Number = StrictFloat | StrictInt


@dataclass(frozen=True)
class Key:
    """A key of the file.

    Attributes:
        kind: type that its value has.
        words: the same for messages.
        tables: where it may stand.
        default: its value where nothing states one.
    """

    kind: Any
    words: str
    tables: tuple[str, ...]
    default: Any = None

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` is of this kind."""
        try:
            TypeAdapter(self.kind).validate_python(value)
        except ValidationError:
            return False
        return True


_SETS = (GENERAL, DATASET)
_ALL = (GENERAL, DATASET, SUBSET)
_ONE = (SUBSET,)


def _flag(tables: tuple[str, ...], default: bool = False) -> Key:
    return Key(StrictBool, "true or false", tables, default)


def _text(tables: tuple[str, ...], default: str | None = None) -> Key:
    return Key(StrictStr, "a text", tables, default)


KEYS: dict[str, Key] = {
    "batch_size": Key(_Positive, "a whole number from 1", _SETS, 1),
    "resolution": Key(_Positive | _Pair, "pixels, or [width, height]", _SETS),
    "enable_bucket": _flag(_SETS),
    "min_bucket_reso": Key(_Positive, "pixels", _SETS, 256),
    "max_bucket_reso": Key(_Positive, "pixels", _SETS, 1024),
    "bucket_reso_steps": Key(_Positive, "pixels", _SETS, 64),
    "bucket_no_upscale": _flag(_SETS),
    "network_multiplier": Key(_Number, "a number", _SETS, 1.0),
    "skip_image_resolution": Key(_Positive | _Pair, "pixels, or [width, height]", _SETS),
    "validation_split": Key(_Share, "a share from 0 to 1", _ALL, 0.0),
    "validation_seed": Key(_Count, "a whole number from 0", _SETS),
    "num_repeats": Key(StrictInt, "a whole number", _ALL, 1),
    "shuffle_caption": _flag(_ALL),
    "keep_tokens": Key(_Count, "a whole number from 0", _ALL, 0),
    "keep_tokens_separator": _text(_ALL, ""),
    "secondary_separator": _text(_ALL, ""),
    "caption_separator": _text(_ALL, ","),
    "caption_prefix": _text(_ALL, ""),
    "caption_suffix": _text(_ALL, ""),
    "caption_dropout_rate": Key(_Share, "a share from 0 to 1", _ALL, 0.0),
    "caption_dropout_every_n_epochs": Key(_Count, "a whole number from 0", _ALL, 0),
    "caption_tag_dropout_rate": Key(_Share, "a share from 0 to 1", _ALL, 0.0),
    "token_warmup_min": Key(_Count, "a whole number from 0", _ALL, 1),
    "token_warmup_step": Key(_Number, "a number", _ALL, 0),
    "enable_wildcard": _flag(_ALL),
    "color_aug": _flag(_ALL),
    "flip_aug": _flag(_ALL),
    "random_crop": _flag(_ALL),
    "face_crop_aug_range": Key(list[_Number], "[smallest, largest] factor", _ALL),
    "alpha_mask": _flag(_ALL),
    "resize_interpolation": _text(_ALL),
    "interpolation_type": _text(_ALL),
    "caption_extension": _text(_ALL, ".caption"),
    "class_tokens": _text(_ALL),
    "cache_info": _flag(_ALL),
    "image_dir": _text(_ONE),
    "metadata_file": _text(_ONE),
    "conditioning_data_dir": _text(_ONE),
    "is_reg": _flag(_ONE),
    "custom_attributes": Key(dict[str, Any], "a table", _ONE),
}
