"""The commands of `dfr`, one file each."""
