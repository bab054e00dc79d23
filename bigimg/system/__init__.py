"""All that differs between operating systems: files, locks, rename, sync, signals, processes, memory."""
