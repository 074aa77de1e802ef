import time

from seq2seq.processor import least_seconds


def test_the_first_call_and_the_slow_ones_do_not_count(monkeypatch):
    spent = iter([9.0, 3.0, 2.0, 5.0, 4.0, 7.0])
    now = [0.0]

    def work():
        now[0] += next(spent)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert least_seconds(work) == 2.0
    assert not list(spent)
