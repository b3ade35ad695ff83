"""What pytest leaves alone: this file makes a device for PyTorch, and is run in a process of its own."""

collect_ignore = ["pretended_device.py"]
