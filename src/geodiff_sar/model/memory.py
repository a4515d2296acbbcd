"""Options that trade time for memory."""

from typing import Literal

from pydantic import Field

from geodiff_sar.core.config import Options

T5Use = Literal["whole", "streamed", "8bit", "none"]


class MemoryOptions(Options):
    """How the parts of a base are kept in memory; the embedded base needs none of it."""

    t5: T5Use = Field(
        default="whole",
        description="T5 whole in memory; streamed: layer by layer from disk; 8bit (torchao); none: its tokens are zero",
    )
    transformer: str = Field(
        default="whole",
        description="weights of its blocks: whole; fp8, cast layer by layer; offloaded to the CPU; sharded over"
        " processes (FSDP2); 8bit (torchao); 4bit (bitsandbytes)",
    )
