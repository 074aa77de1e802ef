"""python scripts/benchmark.py --help"""

from seq2seq.cli import benchmark

if __name__ == "__main__":
    benchmark()
