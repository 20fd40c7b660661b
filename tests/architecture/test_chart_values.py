"""The chart's values: what cannot work is refused, with what to do about it, before anything is changed."""

from __future__ import annotations

import pytest
from helm_python import HelmError

from tests.architecture.chart import BARE, OPEN, PASSING, Values, changed, rendered

LONGEST = "a" * 53
"""Helm takes no longer name of a release."""

REFUSED: list[tuple[Values, str]] = [
    ({"secrets": {"prefix": ""}}, "artdag secrets secrets --kubernetes --nats artdag-nats:4222"),
    ({"secrets": {"prefix": "Art"}}, "/secrets/prefix"),
    ({"gatewy": {}}, "gatewy"),
    ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    ({"gateway": {"replicas": "two"}}, "/gateway/replicas"),
    ({"gateway": {"resources": {"limits": None}}}, "limits"),
    ({"image": {"tag": "latest"}}, "/image/tag"),
    ({"nats": {"image": "nats:latest"}}, "/nats/image"),
    ({"nats": {"image": "nats"}}, "/nats/image"),
    ({"nats": {"replicas": 2}}, "/nats/replicas"),
    ({"config": {"ARTDAG_QUOTA": 1}}, "ARTDAG_QUOTA"),
    ({"config": {"ARTDAG_SECRET_KEY": "00"}}, "ARTDAG_SECRET_KEY"),
    ({"config": {"ARTDAG_IMPORT_DIRS": "/films"}}, "ARTDAG_IMPORT_DIRS"),
    ({"config": {"ARTDAG_STORAGE_DIRS": "/films"}}, "ARTDAG_STORAGE_DIRS"),
    ({"executors": {"inline": OPEN["executors"]["render"]}}, "inline"),
    ({"executors": {"GPU": OPEN["executors"]["render"]}}, "GPU"),
    ({"executors": {"own-": OPEN["executors"]["render"]}}, "own-"),
    ({"executors": {"own": {"enabled": True}}}, "/executors/own"),
    ({"content": {"size": "20 GB"}}, "/content/size"),
    ({"content": {"volume": "emptyDir"}}, "nothing else has all content. Set s3.enabled"),
    ({"content": {"volume": "emptyDir"}, "s3": {"enabled": True}}, "gateway.volume=claim"),
    ({"executors": {"cpu": {"volume": "emptyDir"}}}, "executors.cpu keeps content in an emptyDir"),
    ({"executors": {"cpu": {"autoscaling": {"enabled": True}}}}, "executors.cpu.autoscaling takes pods away"),
    ({"gateway": {"autoscaling": {"enabled": True}}}, "gateway.autoscaling takes pods away"),
    (changed(OPEN, {"gateway": {"autoscaling": {"minReplicas": 7}}}), "gateway.autoscaling.minReplicas is more"),
    (changed(OPEN, {"executors": {"gpu": {"autoscaling": {"minReplicas": 5}}}}), "gpu.autoscaling.minReplicas is more"),
    (changed(PASSING, {"executors": {"cpu": {"autoscaling": {"minReplicas": 0}}}}), "no other class keeps an executor"),
    ({"ipfs": {"primary": True}}, "ipfs.primary needs ipfs.api"),
    ({"ipfs": {"api": "http://kubo:5001"}}, "ipfs.peers is not set"),
    ({"l2": {"server": "https://l2.example"}}, "Set publicUrl to the address that they use"),
    ({"ingress": {"enabled": True}}, "ingress.host is not set"),
    (changed(OPEN, {"ingress": {"tlsSecret": ""}}), "ingress.tlsSecret is not set"),
    (changed(OPEN, {"ingress": {"proxies": []}}), "ingress.proxies is not set"),
    (changed(OPEN, {"l2": {"server": ""}}), "ingress.personal=true"),
    (changed(OPEN, {"gateway": {"allowFrom": []}}), "gateway.allowFrom is not set"),
    (changed(OPEN, {"nats": {"monitoring": ""}}), "nats.monitoring"),
    ({"l2": {"server": "l2.example"}}, "/l2/server"),
    ({"ingress": {"proxies": ["10.0.0.1"]}}, "/ingress/proxies/0"),
]


@pytest.mark.parametrize(("values", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_work_is_refused(values: Values, said: str) -> None:
    with pytest.raises(HelmError) as error:
        rendered(changed(BARE, values))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [("20Gi", 20 * 2**30), ("5G", 5 * 10**9), ("3Ti", 3 * 2**40), ("700M", 700 * 10**6), ("900000k", 900_000_000)],
)
def test_room_is_made_before_a_disk_is_full(size: str, size_bytes: int) -> None:
    values = changed(BARE, {"s3": {"enabled": True}, "content": {"size": size, "limit": size_bytes - 1}})
    assert rendered(values)
    with pytest.raises(HelmError, match=r"content\.limit"):
        rendered(changed(values, {"content": {"limit": size_bytes}}))


def test_names_leave_room_for_what_kubernetes_puts_behind_them() -> None:
    """The revision of a StatefulSet, eleven characters, is in a label of its pods, and a Job's whole name is."""
    classes = {"gpu": {"enabled": True}, "highmem": {"enabled": True}, "c" * 10: OPEN["executors"]["render"]}
    values = changed(BARE, {"executors": classes, "image": {"tag": "0.1.0-" + "x" * 100}})
    found = rendered(values, name=LONGEST)
    assert max(len(each["metadata"]["name"]) for each in found if each["kind"] == "StatefulSet") == 63 - 11
    assert all(len(each["metadata"]["name"]) <= 63 for each in found)
    with pytest.raises(HelmError, match="shorter name"):
        rendered(changed(BARE, {"executors": {"c" * 11: OPEN["executors"]["render"]}}), name=LONGEST)
