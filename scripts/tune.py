"""python scripts/tune.py --help"""

from seq2seq.cli import tune

if __name__ == "__main__":
    tune()
