"""python scripts/translate.py --help"""

from seq2seq.cli import translate

if __name__ == "__main__":
    translate()
