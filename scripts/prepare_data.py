"""python scripts/prepare_data.py --help; python scripts/prepare_data.py check --help"""

from seq2seq.cli import prepare_data

if __name__ == "__main__":
    prepare_data()
