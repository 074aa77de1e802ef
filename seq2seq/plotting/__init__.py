"""plot.py: the curves of trainings, and where a model looks as it translates."""
