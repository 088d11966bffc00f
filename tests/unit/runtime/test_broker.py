import base64

from generals_runtime.broker import new_cluster_id


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    ids = [new_cluster_id() for _ in range(2000)]  # one in 64 began with "-", and Kafka could not be formatted

    assert not [one for one in ids if one.startswith("-")]
    assert {len(base64.urlsafe_b64decode(one + "==")) for one in ids} == {16}
    assert len(set(ids)) == len(ids)
