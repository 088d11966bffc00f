"""A store's URL opens the same store elsewhere, whatever the environment there."""

import pytest

from generals_runtime.objects import open_store
from generals_runtime.published_policies import object_url, split_object_url
from generals_runtime.s3_store import S3Store

SET = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SET:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/policies",
        "s3://bucket/policies?region=eu-west-1",
        "s3://bucket?endpoint=http://127.0.0.1:9000",
        "s3://bucket/policies?endpoint=http://127.0.0.1:9000&region=eu-west-1",
    ],
)
def test_a_url_keeps_endpoint_and_region_also_when_it_is_that_of_an_object(url: str) -> None:
    assert open_store(url).url == url
    assert split_object_url(object_url(open_store(url).url, "me/000001.onnx")) == (_in_folder(url, "me"), "000001.onnx")


def _in_folder(url: str, folder: str) -> str:
    path, mark, query = url.partition("?")
    return f"{path}/{folder}{mark}{query}"


def test_what_only_the_environment_says_is_in_the_url_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert S3Store("bucket").url == "s3://bucket?endpoint=http://127.0.0.1:9000&region=eu-central-1"
