"""Records from memory, disk or devices to batches on the mesh."""
