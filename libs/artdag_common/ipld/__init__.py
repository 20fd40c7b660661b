"""Blocks by their hashes: how IPFS cuts files and folders into them, and how CAR files carry them."""
