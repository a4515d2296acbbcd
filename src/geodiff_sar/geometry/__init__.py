"""From a 3D model to a SAR point cloud, features, maps and a simulated chip. Needs numpy and numba, never torch."""
