"""python scripts/align.py --help"""

from seq2seq.cli import align

if __name__ == "__main__":
    align()
