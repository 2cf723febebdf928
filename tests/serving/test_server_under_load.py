"""Shorter versions of benchmarks/serving_load.py and benchmarks/serving_fuzz.py."""

import numpy as np
import pytest

from avexp_tf.serving import clip_models
from avexp_tf.serving import model_source
from tests.end_to_end import scripts
from tests.serving import running_server

load = scripts.load("serving_load")
fuzz = scripts.load("serving_fuzz")
APIS = ("grpc", "rest")
LIMITS = {"max_body_mb": 1.0, "max_batch": 8, "max_ticks": 200, "body_secs": 5.0}


@pytest.fixture(scope="module", name="server")
def _server(served):
    with running_server.serving(served.export.parent, **LIMITS) as running:
        yield running


@pytest.fixture(scope="module", name="layout")
def _layout(served):
    return model_source.find(served.export).manifest.layout


@pytest.fixture(scope="module", name="predict")
def _predict(served):
    return clip_models.SavedModel(served.export).predict


@pytest.fixture(name="work")
def _work(predict, layout):
    dims = {"video": layout.video_dim, "audio": layout.audio_dim}
    dims["margin"] = layout.context_ticks - 1
    return load.work_for(predict, dims, n_ticks=12, malformed_share=0.2)


def test_eight_clients_get_right_answers(server, work):
    pairs = [(api, getattr(server, api)) for api in APIS] * 4
    tally = load.ask(pairs, work, lambda n_asked: n_asked >= 25)
    assert not tally.wrong
    assert tally.n_right + tally.n_refused == 8 * 25
    assert tally.n_refused > 10
    assert all(len(tally.secs[api]) > 50 for api in APIS)


def test_the_clients_see_what_is_wrong(server, work):
    """Wrong answers, answers to what is malformed, and refusals of what is right."""
    right, spoilt = work.requests[0], work.malformed[0]
    for requests, malformed, share, said in (
        ([right], [spoilt], 0.0, "request 0 is wrong by 1"),
        ([right], [right], 1.0, "malformed request 0 got an answer"),
        ([spoilt], [spoilt], 0.0, "Missing but required: {audio}"),
    ):
        false = load.Work(requests, [work.answers[0] + 1], malformed, share)
        tally = load.ask([("grpc", server.grpc)], false, lambda n_asked: n_asked >= 3)
        assert len(tally.wrong) == 3
        assert said in tally.wrong[0]


def test_memory_that_grows_is_seen():
    assert load.grew([100] * 100) == 0
    assert load.grew([50] * 25 + [100] * 75) == 0  # what is made on first use
    assert load.grew(list(range(100, 200))) == pytest.approx(50 / 137, abs=0.01)


def target_of(server, layout, predict, off=0.0):
    inputs = fuzz.good_inputs(layout)
    answer = predict(inputs) + np.float32(off)
    return fuzz.Target(server.grpc, server.rest, inputs, answer, most_secs=60.0)


@pytest.mark.parametrize("api", APIS)
def test_no_request_harms_the_server(api, server, layout, predict):
    tally = fuzz.Tally()
    target = target_of(server, layout, predict)
    fuzz.fuzz(api, target, count=150, seed=11, tally=tally)
    assert tally.failures == []
    assert sum(tally.codes.values()) == 150
    assert len(tally.codes) >= 4


def test_the_fuzzer_sees_failures(server, layout, predict, monkeypatch):
    tally = fuzz.Tally()
    fuzz.fuzz("rest", target_of(server, layout, predict, off=0.1), 1, 0, tally)
    assert "an answer is off by 0.1" in tally.failures[0]
    monkeypatch.setattr(fuzz, "_HTTP", {200})
    monkeypatch.setattr(fuzz, "_GRPC", {"OK"})
    for api in APIS:
        tally = fuzz.Tally()
        fuzz.fuzz(api, target_of(server, layout, predict), 10, 0, tally)
        assert tally.failures
