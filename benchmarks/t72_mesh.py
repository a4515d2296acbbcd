"""Write the T72 mesh in the proportions of docs/mstar.md, for ``configs/study/mstar_priors.toml``.

Metres, nose +x, up +z, ground at z = 0, the axis of the turret at the origin.
"""

import argparse
from pathlib import Path

from _templates import TURRET_AXIS_M, t72

from geodiff_sar.core.files import atomic_write_text


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--meshes", type=Path, required=True, help="folder with T72_Version2.obj")
    options.add_argument("--out", type=Path, required=True, help="OBJ file to write")
    given = options.parse_args()
    mesh = t72(given.meshes, 0.0)
    vertices = mesh.vertices - [TURRET_AXIS_M, 0.0, 0.0]
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    atomic_write_text(given.out, "\n".join(lines) + "\n")
    print(f"{given.out}: {len(mesh.faces)} triangles")


if __name__ == "__main__":
    main()
