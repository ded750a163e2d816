"""Uploads files to an S3 bucket, or keeps them in a local folder when no bucket is set."""

from __future__ import annotations

import io
import os
import shutil
import time
import uuid
from typing import Any, Dict, List, Optional, Tuple

from ..modules.rp_logger import RunPodLogger

log = RunPodLogger()

#: The longest life that S3 gives a signed link, in seconds: seven days.
_LINK_S = 604800


def extract_region_from_url(endpoint_url: str) -> Optional[str]:
    """The region that an AWS, Backblaze or DigitalOcean endpoint names, else None."""
    from urllib.parse import urlparse

    if ".s3." in endpoint_url:
        return endpoint_url.split(".s3.")[1].split(".")[0]
    if urlparse(endpoint_url).netloc.endswith(".digitaloceanspaces.com"):
        return endpoint_url.split(".")[1].split(".digitaloceanspaces.com")[0]
    return None


def get_boto_client(bucket_creds: Optional[Dict[str, Any]] = None) -> Tuple[Any, Any]:
    """A client and its transfer settings, from `bucket_creds` (endpointUrl, accessId, accessSecret) or from
    BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY. The client is None when these are not set, or
    without boto3."""
    try:
        session, transfer_config, config = _boto3()
    except ImportError:
        log.warn("boto3 not installed. S3 upload functionality disabled. Install with: pip install boto3")
        return None, None
    if bucket_creds:
        endpoint, key, secret = (bucket_creds[k] for k in ("endpointUrl", "accessId", "accessSecret"))
    else:
        names = ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")
        endpoint, key, secret = (os.environ.get(name) for name in names)
    transfer = transfer_config(
        multipart_threshold=1024 * 25,
        max_concurrency=os.cpu_count() or 1,
        multipart_chunksize=1024 * 25,
        use_threads=True,
    )
    if not (endpoint and key and secret):
        return None, transfer
    client = session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config(signature_version="s3v4", retries={"max_attempts": 3, "mode": "standard"}),
        region_name=extract_region_from_url(endpoint),
    )
    return client, transfer


def upload_image(
    job_id: str,
    image_location: str,
    result_index: int = 0,
    results_list: Optional[List[Any]] = None,
    bucket_name: Optional[str] = None,
) -> str:
    """Uploads one image under the job's id; answers its link (valid for seven days), or a path in
    simulated_uploaded/. The link is also put into `results_list`."""
    client, _ = get_boto_client()
    extension = os.path.splitext(image_location)[1]
    name = str(uuid.uuid4())[:8] + extension
    with open(image_location, "rb") as file:
        data = file.read()
    if client is None:
        answer = _keep(name, data=data, directory="simulated_uploaded")
    else:
        bucket, key = bucket_name or time.strftime("%m-%y"), "%s/%s" % (job_id, name)
        client.put_object(Bucket=bucket, Key=key, Body=data, ContentType="image/" + extension.lstrip("."))
        answer = _link(client, bucket, key)
    if results_list is not None:
        results_list[result_index] = answer
    return answer


def files(job_id: str, file_list: List[str]) -> List[Any]:
    """Uploads several images at once; answers their links in order."""
    import threading

    links: List[Any] = [None] * len(file_list)
    threads = [
        threading.Thread(target=upload_image, args=(job_id, path, index, links)) for index, path in enumerate(file_list)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return links


def bucket_upload(job_id: str, file_list: List[str], bucket_creds: Dict[str, Any]) -> List[str]:
    """Uploads files into the bucket of `bucket_creds` (with bucketName); answers their plain URLs. Raises ImportError
    without boto3."""
    session, _, config = _boto3()
    client = session.Session().client(
        "s3",
        endpoint_url=bucket_creds["endpointUrl"],
        aws_access_key_id=bucket_creds["accessId"],
        aws_secret_access_key=bucket_creds["accessSecret"],
        config=config(signature_version="s3v4", retries={"max_attempts": 3, "mode": "standard"}),
    )
    urls = []
    for path in file_list:
        key = "%s/%s" % (job_id, path)
        with open(path, "rb") as file:
            client.put_object(Bucket=str(bucket_creds["bucketName"]), Key=key, Body=file)
        urls.append("%s/%s/%s" % (bucket_creds["endpointUrl"], bucket_creds["bucketName"], key))
    return urls


def upload_file_to_bucket(
    file_name: str,
    file_location: str,
    bucket_creds: Optional[Dict[str, Any]] = None,
    bucket_name: Optional[str] = None,
    prefix: Optional[str] = None,
    extra_args: Optional[Dict[str, Any]] = None,
) -> str:
    """Uploads one file; answers its link (valid for seven days), or a path in local_upload/."""
    client, transfer = get_boto_client(bucket_creds)
    if client is None:
        return _keep(file_name, source=file_location)
    bucket, key = bucket_name or time.strftime("%m-%y"), "%s/%s" % (prefix, file_name) if prefix else file_name
    given: Dict[str, Any] = {"Filename": file_location, "Bucket": bucket, "Key": key, "Config": transfer}
    if extra_args:
        given["ExtraArgs"] = extra_args
    client.upload_file(**given)
    return _link(client, bucket, key)


def upload_in_memory_object(
    file_name: str,
    file_data: bytes,
    bucket_creds: Optional[Dict[str, Any]] = None,
    bucket_name: Optional[str] = None,
    prefix: Optional[str] = None,
) -> str:
    """Uploads bytes; answers their link (valid for seven days), or a path in local_upload/."""
    client, transfer = get_boto_client(bucket_creds)
    if client is None:
        return _keep(file_name, data=file_data)
    bucket, key = bucket_name or time.strftime("%m-%y"), "%s/%s" % (prefix, file_name) if prefix else file_name
    client.upload_fileobj(io.BytesIO(file_data), bucket, key, Config=transfer)
    return _link(client, bucket, key)


def _boto3() -> Tuple[Any, Any, Any]:
    """What is used of boto3, which takes half a second to import. Raises ImportError with the command that adds it."""
    try:
        from boto3 import session
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config
    except ImportError as exc:
        raise ImportError("boto3 is required for S3 upload functionality. Install with: pip install boto3") from exc
    return session, TransferConfig, Config


def _link(client: Any, bucket: str, key: str) -> str:
    return str(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_LINK_S))


def _keep(
    name: str, source: Optional[str] = None, data: Optional[bytes] = None, directory: str = "local_upload"
) -> str:
    log.warn("No bucket endpoint set, saving to disk folder '%s'." % directory)
    os.makedirs(directory, exist_ok=True)
    path = "%s/%s" % (directory, name)
    if source is not None:
        shutil.copyfile(source, path)
    else:
        with open(path, "wb") as file:
            file.write(data or b"")
    return path
