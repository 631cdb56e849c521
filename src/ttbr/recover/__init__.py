"""Linux backward: what an image says of itself."""
