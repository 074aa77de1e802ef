"""The options of a run beside the defaults."""

from seq2seq.config import Config
from seq2seq.report.config import options_of, options_table


def test_what_was_chosen_is_told_from_the_defaults_and_from_what_auto_came_to() -> None:
    config = Config.from_dict(
        {
            "seed": 7,
            "threads": 2,
            "run": "somewhere",
            "data": {"train": ["my corpus", "b"], "test": {"news": "n"}},
            "encoder": "gru",
            "attention": {"name": "bahdanau", "key_size": 99, "dropout": 0.25, "prior_slope": 1.1},
        }
    )
    options = {f"{option.group}.{option.name}": option for option in options_of(config)}
    changed = {option.word for option in options.values() if option.state == "changed"}
    assert changed == {
        "seed=7",
        "'data.train=[my corpus,b]'",
        "'data.test={news: n}'",
        "encoder=gru",
        "attention=bahdanau",
        "attention.key_size=99",
        "attention.dropout=0.25",
    }
    assert {name for name, option in options.items() if option.state == "resolved"} == {
        ".threads",
        "attention.prior_slope",
    }
    assert options["attention.dropout"].default == "0.0"
    assert options["encoder.name"].default == "lstm"
    # what bahdanau has otherwise than the usual attention is its own default
    assert options["attention.attend"].state == "usual"
    assert ".run" not in options
    page = options_table(config)
    assert page.count('class="changed"') == len(changed)
    assert "python scripts/train.py seed=7" in page
