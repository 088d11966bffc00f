"""Create the archive's bucket where it does not exist yet: `make_bucket.py NAME`. May be repeated.

The server is named as boto3 has it: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
"""

from __future__ import annotations

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def main(name: str) -> None:
    # Path style: a server without wildcard names has no host called BUCKET.s3.
    patient = Config(retries={"mode": "standard", "total_max_attempts": 10}, s3={"addressing_style": "path"})
    client = boto3.client("s3", config=patient)
    try:
        client.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
        client.head_bucket(Bucket=name)  # it exists: is it one that we may use?
        sys.stdout.write(f"bucket {name} exists\n")
    else:
        sys.stdout.write(f"bucket {name} created\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
