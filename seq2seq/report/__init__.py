"""report.py: a run as one HTML page that opens anywhere and loads nothing.

read.py takes a run's files; judged.py looks at its translations, by sentences.py and faults.py, and maps.py asks the
model where it looked; sections.py, curves.py, charts.py and config.py write that down, and page.py puts it together.
"""
