"""geodiff-sar: SAR images of a target from text, geometry and a reference image.

Importing this package loads neither torch nor any other heavy library; import the subpackages you need.
"""

__version__ = "0.1.0"
