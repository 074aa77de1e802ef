"""benchmark.py: how fast models train and translate here, how near that is to what the machine allows."""
