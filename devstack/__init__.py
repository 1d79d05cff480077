"""The local stack: storage emulator, sandbox and devhost, and a demonstration of a healing."""
