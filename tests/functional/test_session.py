"""The tests' Spark session stays on this machine."""

import pytest


@pytest.mark.slow
def test_the_session_is_bound_to_the_loopback_without_pages(spark):
    assert spark.conf.get("spark.driver.host") == "127.0.0.1"
    assert spark.conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert spark.sparkContext.uiWebUrl is None
