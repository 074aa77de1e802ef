"""python scripts/compare.py --help"""

from seq2seq.cli import compare

if __name__ == "__main__":
    compare()
