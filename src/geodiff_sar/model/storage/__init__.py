"""Number formats in which the weights of repeated blocks are kept in memory, one file each."""

from geodiff_sar.core.registry import Registry
from geodiff_sar.model.storage.base import Storage

STORAGES: Registry[type[Storage]] = Registry("storage", "memory.transformer", "geodiff_sar.model.storage")
