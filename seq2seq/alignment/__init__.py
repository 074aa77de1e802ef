"""align.py: which word comes from which, by attention, and how right that is."""
