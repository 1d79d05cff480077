"""The gates of a delivery, in order."""
