"""python scripts/evaluate.py --help"""

from seq2seq.cli import evaluate

if __name__ == "__main__":
    evaluate()
