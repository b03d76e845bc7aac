"""The machine: its disks, processes and threads."""
