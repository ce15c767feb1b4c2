"""An object store under holdfast: put, copy, delete, restore, on any S3-compatible store with versioning on.

Such a store takes no idempotency key and no fencing token. What it has: **conditional writes** (``If-Match``,
``If-None-Match``), versions that can be listed, and metadata that travels with an object. So the contracts are
``conditional``: the state read before the dispatch goes with the request, and a write over anything else is refused by
the store itself. The key of the effect is written into the metadata, so that the versions can be searched for it.

Addresses come from ``OBJECTS_URL``. A delete leaves a marker and is offset by removing that marker.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

import holdfast as hf

KEY = "holdfast-key"


@cache
def s3() -> Any:
    """The client. It sends once: a client library that retries by itself would hide a second attempt from us."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["OBJECTS_URL"],
        aws_access_key_id="example",
        aws_secret_access_key="example",  # noqa: S106 -- the local store takes any
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=2,
            read_timeout=float(os.environ.get("OBJECTS_TIMEOUT_S", "3")),
            s3={"addressing_style": "path"},
        ),
    )


def refused(error: ClientError) -> hf.DidNotHappen | ClientError:
    """The store's clear no as *did not happen*; anything else stays in doubt."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (400, 403, 404, 409, 412):
        return hf.DidNotHappen(f"the store answered {status}: {error}")
    return error


def present(bucket: str, key: str) -> dict[str, Any]:
    """What the latest version of an object is now: its etag, or None where there is none."""
    try:
        head = s3().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return {"etag": None}
        raise
    return {"etag": head["ETag"]}


def on_condition(expect: str) -> dict[str, str]:
    """The request headers under which the store writes only over the state that was read."""
    etag = json.loads(expect)["etag"]
    return {"IfMatch": etag} if etag is not None else {"IfNoneMatch": "*"}


def versions(bucket: str, key: str) -> list[dict[str, Any]]:
    """All versions of one object, from every page of the listing."""
    pages = s3().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key)
    return [v for page in pages for v in page.get("Versions", []) if v["Key"] == key]


def written_under(bucket: str, key: str, effect_key: str) -> hf.Happened | hf.Absent:
    """Whether some version of the object carries this effect's key in its metadata."""
    for version in versions(bucket, key):
        head = s3().head_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
        if head["Metadata"].get(KEY) == effect_key:
            return hf.Happened({"version": version["VersionId"], "etag": head["ETag"]})
    return hf.Absent(why="no version carries this key")


def read_back(bucket: str, key: str, value: dict[str, Any]) -> hf.Holds | hf.Differs:
    """Whether the version that was acknowledged is the latest one, with its etag."""
    try:
        head = s3().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return hf.Differs("the object is not there")
        raise
    if head.get("VersionId") == value["version"] and head["ETag"] == value["etag"]:
        return hf.Holds(value)
    return hf.Differs(f"the latest version is {head.get('VersionId')}, not {value['version']}")


@hf.tool(
    effect="compensable",
    resource="object:{bucket}/{key}",
    identity=("bucket", "key"),
    conditional=True,
    lands_within="5s",
    timeout="5s",
    owner="storage-oncall",
    did_not_happen=(EndpointConnectionError,),
)
def put_object(fx: hf.Fx, *, bucket: str, key: str, text: str) -> dict[str, Any]:
    """Write an object, over exactly the state that was read before."""
    body = text.encode()
    try:
        answer = s3().put_object(Bucket=bucket, Key=key, Body=body, Metadata={KEY: fx.key}, **on_condition(fx.expect))
    except ClientError as error:
        raise refused(error) from error
    return {"version": answer["VersionId"], "etag": answer["ETag"]}


@put_object.state
def _put_state(look: hf.Look, *, bucket: str, key: str) -> dict[str, Any]:
    return present(bucket, key)


@put_object.probe
def _put_probe(look: hf.Look, *, bucket: str, key: str) -> hf.Happened | hf.Absent:
    return written_under(bucket, key, look.key)


@put_object.verify
def _put_verify(look: hf.Look, *, bucket: str, key: str, text: str) -> hf.Holds | hf.Differs:
    held = s3().get_object(Bucket=bucket, Key=key, VersionId=look.value["version"])["Body"].read()
    if hashlib.sha256(held).digest() != hashlib.sha256(text.encode()).digest():
        return hf.Differs("the stored bytes are other bytes")
    return read_back(bucket, key, look.value)


@put_object.undo
def _put_undo(look: hf.Look, *, bucket: str, key: str) -> hf.Call:
    return hf.Call("delete_object", {"bucket": bucket, "key": key})


@hf.tool(
    effect="compensable",
    resource="object:{bucket}/{key}",
    identity=("bucket", "key"),
    lands_within="5s",
    timeout="5s",
    owner="storage-oncall",
    did_not_happen=(EndpointConnectionError,),
)
def copy_object(fx: hf.Fx, *, bucket: str, key: str, source: str) -> dict[str, Any]:
    """Copy an object within its bucket.

    The store offers no condition on the target of a copy, so the contract claims none: what somebody else writes at
    the same time is found by the verification and not prevented.
    """
    try:
        answer = s3().copy_object(
            Bucket=bucket,
            Key=key,
            CopySource={"Bucket": bucket, "Key": source},
            MetadataDirective="REPLACE",
            Metadata={KEY: fx.key},
        )
    except ClientError as error:
        raise refused(error) from error
    return {"version": answer["VersionId"], "etag": answer["CopyObjectResult"]["ETag"]}


@copy_object.probe
def _copy_probe(look: hf.Look, *, bucket: str, key: str) -> hf.Happened | hf.Absent:
    return written_under(bucket, key, look.key)


@copy_object.verify
def _copy_verify(look: hf.Look, *, bucket: str, key: str) -> hf.Holds | hf.Differs:
    return read_back(bucket, key, look.value)


@copy_object.undo
def _copy_undo(look: hf.Look, *, bucket: str, key: str) -> hf.Call:
    return hf.Call("delete_object", {"bucket": bucket, "key": key})


@hf.tool(
    effect="compensable",
    resource="object:{bucket}/{key}",
    identity=("bucket", "key"),
    conditional=True,
    lands_within="5s",
    timeout="5s",
    owner="storage-oncall",
    did_not_happen=(EndpointConnectionError,),
)
def delete_object(fx: hf.Fx, *, bucket: str, key: str) -> dict[str, Any]:
    """Delete an object if it is still the one that was read; older versions stay, and a marker hides them."""
    etag = json.loads(fx.expect)["etag"]
    if etag is None:
        raise hf.DidNotHappen("there is no such object")
    try:
        answer = s3().delete_object(Bucket=bucket, Key=key, IfMatch=etag)
    except ClientError as error:
        raise refused(error) from error
    return {"marker": answer["VersionId"]}


@delete_object.state
def _delete_state(look: hf.Look, *, bucket: str, key: str) -> dict[str, Any]:
    return present(bucket, key)


@delete_object.probe
def _delete_probe(look: hf.Look, *, bucket: str, key: str) -> hf.Happened | hf.Absent:
    """A marker carries no metadata: one that is the latest is taken for ours, since the goal holds either way."""
    listing = s3().list_object_versions(Bucket=bucket, Prefix=key)
    for marker in listing.get("DeleteMarkers", []):
        if marker["Key"] == key and marker["IsLatest"]:
            return hf.Happened({"marker": marker["VersionId"]})
    return hf.Absent(why="the object is still there")


@delete_object.verify
def _delete_verify(look: hf.Look, *, bucket: str, key: str) -> hf.Holds | hf.Differs:
    return hf.Holds() if present(bucket, key)["etag"] is None else hf.Differs("the object is still there")


@delete_object.undo
def _delete_undo(look: hf.Look, *, bucket: str, key: str) -> hf.Call:
    return hf.Call("restore_object", {"bucket": bucket, "key": key, "marker": look.value["marker"]})


@hf.tool(
    effect="idempotent",
    resource="object:{bucket}/{key}",
    identity=("bucket", "key", "marker"),
    lands_within="5s",
    timeout="5s",
    owner="storage-oncall",
    did_not_happen=(EndpointConnectionError,),
)
def restore_object(fx: hf.Fx, *, bucket: str, key: str, marker: str) -> dict[str, Any]:
    """Remove one delete marker, which brings the version under it back."""
    try:
        s3().delete_object(Bucket=bucket, Key=key, VersionId=marker)
    except ClientError as error:
        raise refused(error) from error
    return {"removed": marker}


@restore_object.probe
def _restore_probe(look: hf.Look, *, bucket: str, key: str, marker: str) -> hf.Happened | hf.Absent:
    listing = s3().list_object_versions(Bucket=bucket, Prefix=key)
    left = [m for m in listing.get("DeleteMarkers", []) if m["VersionId"] == marker]
    return hf.Absent(why="the marker is still there") if left else hf.Happened({"removed": marker})


@restore_object.verify
def _restore_verify(look: hf.Look, *, bucket: str, key: str) -> hf.Holds | hf.Differs:
    return hf.Holds() if present(bucket, key)["etag"] is not None else hf.Differs("there is still no such object")


TOOLS = [put_object, copy_object, delete_object, restore_object]
