"""python scripts/plot.py --help"""

from seq2seq.cli import plot

if __name__ == "__main__":
    plot()
