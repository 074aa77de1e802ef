"""compare.py: a table of models that it trains under the same conditions, or of runs that are finished."""
