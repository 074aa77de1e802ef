"""python scripts/report.py --help"""

from seq2seq.cli import report

if __name__ == "__main__":
    report()
