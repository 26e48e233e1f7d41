"""MinIO's admin API with MinIO's own client for Python: users, policies, who has which."""

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException

from common import Caller, allowing, endpoint, other_root, refused, root, run, trusting, unique

host = endpoint.split("://")[1]


def admin_of(caller):
    provider = StaticProvider(caller.access_key_id, caller.secret_access_key, caller.session_token)
    return MinioAdmin(endpoint=host, credentials=provider, region="us-east-1", secure=False)


admin = admin_of(root)
SECRET = "a-secret-of-24-characters"


def fails(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except MinioAdminException as error:
        told = json.loads(error._body)
        assert told["Code"] == code, told
        return told["Message"]
    raise AssertionError(f"not refused with {code}")


def quotas_hold():
    name = unique("minio-quota")
    root.s3.create_bucket(Bucket=name)
    assert json.loads(admin.bucket_quota_get(name))["size"] == 0
    admin.bucket_quota_set(name, 1000)
    quota = json.loads(admin.bucket_quota_get(name))
    assert (quota["size"], quota["quota"], quota["quotatype"]) == (1000, 1000, "hard"), quota
    root.s3.put_object(Bucket=name, Key="a", Body=b"x" * 600)
    refused("QuotaExceeded", root.s3.put_object, Bucket=name, Key="b", Body=b"x" * 600)
    before = json.loads(admin.info())
    admin.bucket_quota_clear(name)
    assert json.loads(admin.bucket_quota_get(name))["size"] == 0
    root.s3.put_object(Bucket=name, Key="b", Body=b"x" * 600)
    after = json.loads(admin.info())
    grown = [after[what]["count"] - before[what]["count"] for what in ("objects", "versions")]
    assert grown == [1, 1] and after["usage"]["size"] - before["usage"]["size"] == 600, (before, after)
    fails("NoSuchBucket", admin.bucket_quota_get, unique("nobodys"))
    fails("NoSuchBucket", admin_of(other_root).bucket_quota_set, name, 1)


def requests_are_followed():
    """What `mc admin trace` reads: a JSON object a request, of which other accounts see none, for who may."""
    name = unique("minio-trace")
    root.s3.create_bucket(Bucket=name)

    def follow(caller, query, until):
        """Follows requests while some are made, until one passes, or for a while if none must."""
        request = AWSRequest("GET", f"{endpoint}/minio/admin/v3/trace?{query}")
        request.headers["x-amz-content-sha256"] = hashlib.sha256(b"").hexdigest()
        session = caller.session_token or None
        credentials = Credentials(caller.access_key_id, caller.secret_access_key, session)
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        made = urllib.request.Request(request.url, headers=dict(request.headers))
        with urllib.request.urlopen(made, timeout=60) as answer:
            began, seen = time.time(), []
            while time.time() - began < 60:
                root.s3.list_objects_v2(Bucket=name)
                try:
                    root.s3.get_object(Bucket=name, Key="absent")
                except ClientError:
                    pass
                line = answer.readline().strip()
                if line:
                    seen.append(json.loads(line))
                    if until(seen[-1]):
                        return seen
        raise AssertionError(f"nothing came: {seen}")

    seen = follow(root, "s3=true&threshold=0s", lambda line: line["funcname"] == "s3.ListObjectsV2")[-1]
    assert (seen["type"], seen["path"], seen["http"]["response"]["statuscode"]) == (4, f"/{name}", 200), seen
    assert seen["dur"] > 0 and "list-type=2" in seen["http"]["request"]["rawquery"], seen
    assert seen["http"]["stats"]["outputbytes"] > 0 and seen["http"]["request"]["client"] == "127.0.0.1", seen
    failed = follow(root, "s3=true&err=true", lambda line: True)
    assert all(line["http"]["response"]["statuscode"] >= 400 for line in failed), failed
    # The other account's own requests are all that it sees.
    other_root.s3.list_buckets()
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            other_root.s3.list_buckets()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        seen = follow(other_root, "s3=true", lambda line: line["funcname"] == "s3.ListBuckets")
    finally:
        stop.set()
        asking.join()
    assert all(line["funcname"] == "s3.ListBuckets" for line in seen), seen
    user = unique("minio-user")
    admin.user_add(user, SECRET)
    try:
        follow(Caller(user, SECRET), "s3=true", lambda line: True)
    except urllib.error.HTTPError as error:
        assert (error.code, json.loads(error.read())["Code"]) == (403, "AccessDenied"), error
    else:
        raise AssertionError("anybody sees all requests")
    root.iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=allowing("sealgate:Trace"))
    follow(Caller(user, SECRET), "all=true", lambda line: line["http"]["response"]["statuscode"] == 404)
    for threshold in ["soon", "5", "-1s"]:
        try:
            follow(root, f"s3=true&threshold={threshold}", lambda line: True)
        except urllib.error.HTTPError as error:
            assert error.code == 400, error
        else:
            raise AssertionError(f"{threshold} is no duration")


def prometheus_has_its_tokens():
    """A token as `mc admin prometheus generate` makes it opens metrics, for who may, and nothing else."""

    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def token(access_key_id, secret, algorithm="HS512", issuer="prometheus", expires_in=3600):
        header = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
        claims = {"iss": issuer, "sub": access_key_id, "exp": int(time.time()) + expires_in}
        signed = header + b"." + encoded(json.dumps(claims).encode())
        signature = hmac.new(secret.encode(), signed, hashlib.sha512).digest()
        return (signed + b"." + encoded(signature)).decode()

    def metrics(token, path="/minio/v2/metrics/cluster"):
        request = urllib.request.Request(endpoint + path, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    mine = (root.access_key_id, root.secret_access_key)
    status, text = metrics(token(*mine))
    assert status == 200 and "sealgate_build_info" in text, text
    assert metrics(token(*mine), "/_sealgate/metrics")[0] == 200
    user = unique("minio-user")
    admin.user_add(user, SECRET)
    refusals = {
        "another secret": token(root.access_key_id, "wrong"),
        "unsigned": token(*mine, algorithm="none"),
        "another algorithm": token(*mine, algorithm="HS256"),
        "another issuer": token(*mine, issuer="sts"),
        "expired": token(*mine, expires_in=-1),
        "no signature": token(*mine).rsplit(".", 1)[0] + ".",
        "no token": "x",
        "too long": "x" * 9000,
        "nobody": token("AKIANOBODYNOBODYNOBO", "secret"),
        "who may not": token(user, SECRET),
        "another account": token(other_root.access_key_id, other_root.secret_access_key),
    }
    for what, refusal in refusals.items():
        status, text = metrics(refusal)
        assert status in (400, 403) and "sealgate_build_info" not in text, (what, status, text)
    root.iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=allowing("sealgate:GetMetrics"))
    assert metrics(token(user, SECRET))[0] == 200
    for path in ["/", "/minio/admin/v3/info"]:
        assert metrics(token(*mine), path)[0] in (400, 403), path


def users_live():
    name, bucket = unique("minio-user"), unique("bucket")
    root.s3.create_bucket(Bucket=bucket)
    admin.user_add(name, SECRET)
    user = Caller(name, SECRET)
    assert user.sts.get_caller_identity()["Arn"].endswith(f":user/{name}")
    refused("AccessDenied", user.s3.put_object, Bucket=bucket, Key="k")
    answer = json.loads(admin.attach_policy(["readwrite"], user=name))
    assert answer["policiesAttached"] == ["readwrite"], answer
    user.s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert json.loads(admin.user_list())[name]["policyName"] == "readwrite"
    info = json.loads(admin.user_info(name))
    assert (info["status"], info["policyName"], info["memberOf"]) == ("enabled", "readwrite", []), info
    fails("XMinioAdminPolicyChangeAlreadyApplied", admin.attach_policy, ["readwrite"], user=name)

    admin.user_disable(name)
    refused("InvalidAccessKeyId", user.s3.put_object, Bucket=bucket, Key="k")
    assert json.loads(admin.user_info(name))["status"] == "disabled"
    admin.user_enable(name)
    user.s3.put_object(Bucket=bucket, Key="k", Body=b"2")

    # Another secret: the former one is no use any more.
    admin.user_add(name, SECRET + "2")
    refused("SignatureDoesNotMatch", user.s3.put_object, Bucket=bucket, Key="k")
    user = Caller(name, SECRET + "2")
    user.s3.put_object(Bucket=bucket, Key="k", Body=b"3")

    answer = json.loads(admin.detach_policy(["readwrite"], user=name))
    assert answer["policiesDetached"] == ["readwrite"], answer
    refused("AccessDenied", user.s3.put_object, Bucket=bucket, Key="k")

    # IAM sees the same user; his short id does not keep it from taking the key away.
    keys = root.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in keys] == [name]
    admin.policy_set("readonly,readwrite", user=name)
    admin.policy_set("readonly", user=name)
    assert json.loads(admin.user_info(name))["policyName"] == "readonly"
    admin.user_remove(name)
    assert name not in json.loads(admin.user_list())
    refused("NoSuchEntity", root.iam.get_user, UserName=name)
    refused("InvalidAccessKeyId", user.s3.list_buckets)
    fails("XMinioAdminNoSuchUser", admin.user_info, name)
    fails("XMinioAdminNoSuchUser", admin.user_remove, name)


def short_names_are_ids_too():
    admin.user_add("bob", SECRET)
    unchecked = root.new_client("iam", parameter_validation=False)
    unchecked.update_access_key(UserName="bob", AccessKeyId="bob", Status="Inactive")
    assert json.loads(admin.user_info("bob"))["status"] == "disabled"
    unchecked.delete_access_key(UserName="bob", AccessKeyId="bob")
    admin.user_remove("bob")
    for name, secret in [("bo", SECRET), ("bob", "short"), ("b/b", SECRET)]:
        try:
            admin.user_add(name, secret)
        except MinioAdminException:
            continue
        raise AssertionError(f"{name} was made")


def ids_of_others_are_not_taken_over():
    """Neither the root user's access key, nor one of another user or account."""
    fails("EntityAlreadyExists", admin.user_add, root.access_key_id, SECRET)
    assert root.sts.get_caller_identity()["Arn"].endswith(":root")
    name = unique("other")
    root.iam.create_user(UserName=name)
    key = root.iam.create_access_key(UserName=name)["AccessKey"]
    fails("EntityAlreadyExists", admin.user_add, key["AccessKeyId"], SECRET)
    other = admin_of(other_root)
    mine = unique("mine")
    admin.user_add(mine, SECRET)
    fails("EntityAlreadyExists", other.user_add, mine, SECRET + "2")
    assert Caller(mine, SECRET).sts.get_caller_identity()["Arn"].endswith(mine)
    assert mine not in json.loads(other.user_list())


def policies_live():
    name, text = unique("policy"), allowing("s3:GetObject")
    admin.policy_add(name, policy=json.loads(text))
    assert json.loads(admin.policy_info(name)) == json.loads(text)
    # Beyond the number of versions that a policy can have.
    for number in range(7):
        text = allowing("s3:GetObject", f"arn:aws:s3:::bucket-{number}/*")
        admin.policy_add(name, policy=json.loads(text))
        assert json.loads(admin.policy_info(name)) == json.loads(text)
    listed = json.loads(admin.policy_list())
    assert listed[name] == json.loads(text)
    assert {"readonly", "readwrite", "writeonly", "consoleAdmin", "AdministratorAccess"} <= set(listed)

    user, group = unique("user"), unique("group")
    admin.user_add(user, SECRET)
    root.iam.create_group(GroupName=group)
    root.iam.add_user_to_group(GroupName=group, UserName=user)
    admin.attach_policy([name], user=user)
    admin.attach_policy([name, "AmazonS3ReadOnlyAccess"], group=group)
    found = json.loads(admin.get_policy_entities([user], [], []))
    (mapping,) = found["userMappings"]
    assert (mapping["user"], mapping["policies"]) == (user, [name]), mapping
    assert mapping["memberOfMappings"] == [{"group": group, "policies": [name, "AmazonS3ReadOnlyAccess"]}]
    found = json.loads(admin.get_policy_entities([], [], [name]))
    assert found["policyMappings"] == [{"policy": name, "users": [user], "groups": [group]}], found
    assert json.loads(admin.get_policy_entities([], [], []))["groupMappings"]

    fails("DeleteConflict", admin.policy_remove, name)
    admin.detach_policy([name], user=user)
    admin.detach_policy([name], group=group)
    admin.policy_remove(name)
    fails("XMinioAdminNoSuchPolicy", admin.policy_info, name)
    fails("XMinioAdminNoSuchPolicy", admin.attach_policy, [name], user=user)
    fails("MalformedPolicyDocument", admin.policy_add, unique("bad"), policy={"Version": "2012-10-17"})
    fails("XMinioAdminNoSuchUser", admin.attach_policy, ["readonly"], user=unique("nobody"))
    fails("XMinioAdminNoSuchGroup", admin.attach_policy, ["readonly"], group=unique("nobody"))


def iam_decides():
    """Who may not, may not here either; a session's secret hides bodies as well as an access key's."""
    name = unique("delegate")
    admin.user_add(name, SECRET)
    delegate = admin_of(Caller(name, SECRET))
    for call, arguments in [
        (delegate.user_add, ["somebody", SECRET]),
        (delegate.user_list, []),
        (delegate.user_info, [name]),
        (delegate.user_disable, [name]),
        (delegate.user_remove, [name]),
        (delegate.policy_list, []),
        (delegate.policy_info, ["AdministratorAccess"]),
        (delegate.policy_add, ["mine", None, json.loads(allowing("s3:*"))]),
        (delegate.policy_remove, ["AdministratorAccess"]),
        (delegate.policy_set, ["AdministratorAccess", name]),
        (delegate.info, []),
    ]:
        try:
            call(*arguments)
        except MinioAdminException as error:
            assert error._code == "403", (call, error)
        except OSError as error:
            assert "insufficient" in str(error), error
        else:
            raise AssertionError(call)
    fails("AccessDenied", delegate.attach_policy, ["AdministratorAccess"], user=name)
    refused("NoSuchEntity", root.iam.get_user, UserName="somebody")

    role = root.iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=trusting("*"))["Role"]
    root.iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    root.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allowing("sts:AssumeRole"))
    made = Caller(name, SECRET).sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    session = admin_of(Caller(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]))
    made_by_session = unique("made")
    session.user_add(made_by_session, SECRET)
    assert made_by_session in json.loads(session.user_list())
    wrong = admin_of(Caller(root.access_key_id, "not the secret"))
    fails("SignatureDoesNotMatch", wrong.info)


def what_else_there_is():
    info = json.loads(admin.info())
    assert info["mode"] == "online" and info["buckets"]["count"] >= 1, info
    message = fails("NotImplemented", admin.top_locks)
    assert "top/locks" in message, message
    for path in ["live", "ready"]:
        with urllib.request.urlopen(f"{endpoint}/minio/health/{path}") as answer:
            assert answer.status == 200
    # These paths can't be an object's.
    try:
        root.s3.create_bucket(Bucket="minio")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "BucketAlreadyExists", error
    else:
        raise AssertionError("the bucket was made")


run(
    [
        users_live,
        short_names_are_ids_too,
        ids_of_others_are_not_taken_over,
        policies_live,
        iam_decides,
        quotas_hold,
        requests_are_followed,
        prometheus_has_its_tokens,
        what_else_there_is,
    ]
)
