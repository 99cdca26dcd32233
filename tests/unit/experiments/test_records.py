"""What a run leaves on disk: events, checkpoints, specifications; each whole or not there."""

import json
import os

import pytest
import torch

from experiments import checkpoints, randomness
from experiments.attempt_outcome import Outcome
from experiments.errors import CheckpointError, ExperimentError, ForbiddenError, StoppedError
from experiments.event_log import FILE, EventLog, read_events
from experiments.recorder import read_end
from experiments.run_spec import RunSpec, read_spec, write_spec
from experiments.stop_signal import PreemptedError, agree
from experiments.training_state import ResumedLoader
from experiments.weights import weights_digest


def test_events_are_read_in_order_and_from_where_one_was(tmp_path):
    event_log = EventLog(tmp_path)
    event_log.metrics({"loss": 0.5}, 1)
    (first,) = read_events(tmp_path)
    event_log.params({"epochs": 3})
    event_log.tags({"a": "é"})
    event_log.end(Outcome.DONE)
    event_log.close()

    later = [event for event, _offset in read_events(tmp_path, first[1])]
    assert first[0]["metrics"] == {"loss": 0.5}
    assert [event.keys() - {"t"} for event in later] == [{"params"}, {"tags"}, {"end", "reason"}]
    assert later[1]["tags"] == {"a": "é"}


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    event_log = EventLog(tmp_path)
    event_log.metrics({"loss": 0.5}, 1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"metrics": {"lo')

    assert len(list(read_events(tmp_path))) == 1


def test_a_loss_that_is_no_number_is_told_as_such(tmp_path):
    event_log = EventLog(tmp_path)
    event_log.metrics({"loss": float("nan"), "rate": float("inf")}, 1)

    ((event, _offset),) = read_events(tmp_path)
    assert event["metrics"] == {"loss": "nan", "rate": "inf"}


def test_no_folder_has_no_events(tmp_path):
    assert list(read_events(tmp_path / "nowhere")) == []


def test_a_checkpoint_comes_back_and_holds_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    checkpoints.save(tmp_path, checkpoints.NEWEST, {"epoch": 3, "weights": torch.arange(4)})
    assert checkpoints.load(tmp_path, checkpoints.NEWEST)["weights"].tolist() == [0, 1, 2, 3]

    checkpoints.save(tmp_path, checkpoints.NEWEST, {"trap": Trap()})
    with pytest.raises(CheckpointError, match=r"newest\.pt is damaged"):
        checkpoints.load(tmp_path, checkpoints.NEWEST)
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, checkpoints.NEWEST, {"epoch": 1})

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path, checkpoints.NEWEST, {"epoch": 2})

    assert checkpoints.load(tmp_path, checkpoints.NEWEST) == {"epoch": 1}


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="start the run anew"):
        checkpoints.load(tmp_path, checkpoints.BEST)


def test_a_specification_comes_back_as_it_was_written(tmp_path):
    spec = RunSpec("R001", tmp_path, "b", tmp_path / "data", "sqlite:///x", "", "E1", "bob", overrides={"epochs": 3})
    write_spec(spec)

    assert read_spec(tmp_path) == spec


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": "R001"}'])
def test_a_file_that_is_no_specification_is_one_sentence(tmp_path, content):
    (tmp_path / "run.json").write_text(content)

    with pytest.raises(ExperimentError, match="cannot be read as a run"):
        read_spec(tmp_path)


def test_a_specification_without_a_version_is_of_the_first_and_of_a_later_one_is_refused(tmp_path):
    spec = RunSpec("R001", tmp_path, "b", tmp_path / "data", "sqlite:///x", "", "E1", "bob")
    write_spec(spec)
    values = json.loads((tmp_path / "run.json").read_text())

    (tmp_path / "run.json").write_text(json.dumps({name: values[name] for name in values if name != "version"}))
    assert read_spec(tmp_path) == spec

    (tmp_path / "run.json").write_text(json.dumps(values | {"version": 2}))
    with pytest.raises(ExperimentError, match="written by another version of this program, which reads version 1"):
        read_spec(tmp_path)


def test_a_specification_that_does_not_fit_names_the_field_and_no_value(tmp_path):
    write_spec(RunSpec("R001", tmp_path, "b", tmp_path / "data", "sqlite:///x", "", "E1", "bob"))
    values = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(values | {"seed": "s3cret"}))

    with pytest.raises(ExperimentError, match="seed: Input should be a valid integer") as refusal:
        read_spec(tmp_path)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("stored", "outcome"), [("FINISHED", Outcome.DONE), ("KILLED", Outcome.STOPPED), ("failed", Outcome.FAILED)]
)
def test_outcomes_that_were_stored_in_the_words_of_mlflow_are_read(tmp_path, stored, outcome):
    (tmp_path / "ended").write_text(json.dumps({"status": stored, "reason": "r"}))

    assert read_end(tmp_path) == (outcome, "r")
    assert read_end(tmp_path / "nowhere") is None


def test_random_numbers_go_on_where_a_checkpoint_found_them(tmp_path):
    import random

    import numpy as np

    def draw():
        return random.random(), float(np.random.normal()), float(torch.rand(()))

    randomness.seed_everything(3)
    draw()
    checkpoints.save(tmp_path, checkpoints.NEWEST, {"random": randomness.states()})
    following = draw()
    randomness.seed_everything(9)

    randomness.restore(checkpoints.load(tmp_path, checkpoints.NEWEST)["random"])

    assert draw() == following


def test_an_epoch_of_a_rank_begins_alike_and_unlike_any_other():
    seeds = {(epoch, rank): randomness.seed_of(7, epoch, rank) for epoch in range(50) for rank in range(8)}

    assert len(set(seeds.values())) == len(seeds)
    assert randomness.seed_of(7, 3, 1) == seeds[3, 1]


def test_a_resumed_loader_gives_the_batches_that_were_left_and_then_whole_epochs():
    randomness.seed_everything(1)
    kept = randomness.states()
    loader = ResumedLoader([10, 11, 12, 13], 3, kept)

    assert list(loader) == [13]
    assert list(loader) == [10, 11, 12, 13]
    assert len(loader) == 4


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ([None, None], None),
        ([PreemptedError("SIGTERM"), None], PreemptedError),
        ([PreemptedError("SIGTERM"), StoppedError("by bob")], StoppedError),
        ([ForbiddenError("revoked"), StoppedError("by bob"), PreemptedError("SIGTERM")], ForbiddenError),
        ([ExperimentError("broken"), ForbiddenError("revoked")], ExperimentError),
    ],
)
def test_ranks_agree_on_the_gravest_reason(monkeypatch, told, kind):
    pairs = [None if one is None else (type(one).__name__, str(one)) for one in told]
    monkeypatch.setattr("experiments.stop_signal.gather_all", lambda _mine: pairs)

    agreed = agree(None)

    assert (None if agreed is None else type(agreed)) is kind


def test_the_digest_of_weights_tells_every_bit():
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 2)
    before = weights_digest(network)
    with torch.no_grad():
        network.weight[0, 0] = torch.nextafter(network.weight[0, 0], torch.tensor(9.0))

    assert weights_digest(network) != before
    assert weights_digest(torch.nn.Linear(4, 2).half()) != before
