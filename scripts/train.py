"""python scripts/train.py --help"""

from seq2seq.cli import train

if __name__ == "__main__":
    train()
