"""AssumeRoleWithWebIdentity with tokens of a real OpenID Connect provider, which runs in this process, on a port of this host."""

import base64
import contextlib
import datetime
import http.server
import json
import os
import socket
import socketserver
import threading
import time
import urllib.parse
import urllib.request

import boto3
import oidc_provider_mock
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
CLIENT = "conformance"
iam, s3 = boto3.client("iam"), boto3.client("s3")
# Nobody signs: the token is the credential. No retries, which would hide what is answered first.
sts = boto3.client("sts", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))
account = boto3.client("sts").get_caller_identity()["Account"]
NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def refused(code, operation, **parameters):
    try:
        operation(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{code}: {error}"
        return error.response["Error"]["Message"]
    raise AssertionError(f"not refused with {code}")


class Provider:
    """A provider of its own, and who logs in there. `lives_s` is how long its tokens are valid: a negative number makes old ones."""

    def __init__(self, running, lives_s=3600, further=()):
        user = oidc_provider_mock.User(sub="ada", claims={"team": "payments", "groups": ["engineers", "analysts"], "admin": True})
        other = oidc_provider_mock.User(sub="grace", claims={"team": "compilers"})
        served = oidc_provider_mock.run_server_in_thread(
            user_claims=[user, other, *further], access_token_max_age=datetime.timedelta(seconds=lives_s)
        )
        server = running.enter_context(served)
        self.issuer = f"http://localhost:{server.server_port}"
        self.name = self.issuer.removeprefix("http://")
        self.arn = f"arn:aws:iam::{account}:oidc-provider/{self.name}"

    def token(self, subject="ada", client=CLIENT):
        """By the authorization code flow: OpenID Connect Core 1.0, 3.1."""
        back = "http://localhost/back"
        query = {"response_type": "code", "client_id": client, "redirect_uri": back, "scope": "openid", "state": "s"}
        asked = urllib.request.Request(
            f"{self.issuer}/oauth2/authorize?{urllib.parse.urlencode(query)}",
            urllib.parse.urlencode({"sub": subject}).encode(),
        )
        try:
            urllib.request.build_opener(NoRedirect).open(asked)
            raise AssertionError("the provider does not send us back")
        except urllib.error.HTTPError as sent:
            assert sent.code == 302, sent
            code = urllib.parse.parse_qs(urllib.parse.urlparse(sent.headers["Location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": client, "client_secret": "any"}
        with urllib.request.urlopen(f"{self.issuer}/oauth2/token", urllib.parse.urlencode(form).encode()) as answer:
            return json.load(answer)["id_token"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def registered(provider, clients):
    made = iam.create_open_id_connect_provider(Url=provider.issuer, ClientIDList=clients, ThumbprintList=["0" * 40])
    assert made["OpenIDConnectProviderArn"] == provider.arn, made
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider.arn)
    assert found["ClientIDList"] == clients and provider.name in found["Url"], found


def role(name, provider, conditions, statements):
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider.arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": conditions,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy)
    return arn


def assume(arn, token, **more):
    return sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="session", WebIdentityToken=token, **more)


def s3_of(assumed):
    keys = assumed["Credentials"]
    return boto3.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def part(token, at, change):
    """The token with a change of its header (0) or its claims (1), under the signature that it had."""
    parts = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(parts[at] + "=="))
    parts[at] = base64.urlsafe_b64encode(json.dumps(decoded | change).encode()).rstrip(b"=").decode()
    return ".".join(parts)


def who_may(provider):
    """Trust by audience and subject; what the session may, by claims."""
    own = {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:GetObject"],
        "Resource": f"arn:aws:s3:::federated/${{{provider.name}:sub}}/*",
    }
    team = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::federated",
        "Condition": {"StringEquals": {f"{provider.name}:team": "payments"}},
    }
    only = {"StringEquals": {f"{provider.name}:aud": CLIENT, f"{provider.name}:sub": "ada"}}
    return role("people", provider, only, [own, team])


def sessions(provider, arn):
    token = provider.token()
    assumed = assume(arn, token, DurationSeconds=900)
    assert assumed["SubjectFromWebIdentityToken"] == "ada" and assumed["Audience"] == CLIENT, assumed
    # The issuer, by the documentation; the ARN, by what AWS answers.
    assert assumed["Provider"] in (provider.arn, provider.issuer), assumed
    assert assumed["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/people/session", assumed
    left = assumed["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 800 < left.total_seconds() <= 900, left
    hers = s3_of(assumed)
    hers.put_object(Bucket="federated", Key="ada/1", Body=b"hers")
    assert hers.get_object(Bucket="federated", Key="ada/1")["Body"].read() == b"hers"
    refused("AccessDenied", hers.put_object, Bucket="federated", Key="grace/1", Body=b"x")
    assert [row["Key"] for row in hers.list_objects_v2(Bucket="federated")["Contents"]] == ["ada/1"]
    # A session's own policy cuts off what it does not name.
    policy = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    reader = s3_of(assume(arn, token, Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]})))
    reader.get_object(Bucket="federated", Key="ada/1")
    refused("AccessDenied", reader.put_object, Bucket="federated", Key="ada/1", Body=b"x")


def conditions(provider):
    """Lists and booleans of claims."""
    anything = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    groups = {"ForAnyValue:StringEquals": {f"{provider.name}:groups": ["analysts"]}, "Bool": {f"{provider.name}:admin": "true"}}
    arn = role("analysts", provider, groups, anything)
    assume(arn, provider.token())
    assert refused("AccessDenied", assume, arn=arn, token=provider.token("grace")) == NOT_AUTHORIZED


def refusals(provider, arn, running):
    """Wrong tokens, and right ones of the wrong people."""
    token = provider.token()
    assert refused("AccessDenied", assume, arn=arn, token=provider.token("grace")) == NOT_AUTHORIZED
    assert refused("AccessDenied", assume, arn=arn + "-none", token=token) == NOT_AUTHORIZED
    message = refused("InvalidIdentityToken", assume, arn=arn, token=provider.token(client="stranger"))
    assert message == "Incorrect token audience", message
    head, claims, signature = token.split(".")
    flipped = ("B" if signature[9] == "A" else "A").join([signature[:9], signature[10:]])
    for tampered in [
        f"{head}.{claims}.{flipped}",
        f"{head}.{claims}.",
        part(token, 1, {"sub": "grace"}),
        part(token, 0, {"alg": "none"}),
        part(token, 0, {"alg": "HS256"}),
        part(token, 0, {"alg": "RS512"}),
        part(token, 0, {"kid": "unknown"}),
        part(token, 1, {"aud": [CLIENT, "x"]}),
        "no.token.here",
    ]:
        refused("InvalidIdentityToken", assume, arn=arn, token=tampered)
    foreign = Provider(running)
    message = refused("InvalidIdentityToken", assume, arn=arn, token=foreign.token())
    assert message == f"No OpenIDConnect provider found in your account for {foreign.issuer}", message
    # Another issuer's token in this one's name.
    refused("InvalidIdentityToken", assume, arn=arn, token=part(foreign.token(), 1, {"iss": provider.issuer}))
    registered(foreign, [CLIENT])
    # Of a provider, but not of the one that the role trusts.
    assert refused("AccessDenied", assume, arn=arn, token=foreign.token()) == NOT_AUTHORIZED
    old = Provider(running, lives_s=-600)
    registered(old, [CLIENT])
    message = refused("ExpiredTokenException", assume, arn=arn, token=old.token())
    assert message.startswith("Token expired: current date/time "), message
    # Clocks may differ by five minutes; the token is good, the role another's.
    late = Provider(running, lives_s=-60)
    registered(late, [CLIENT])
    assert refused("AccessDenied", assume, arn=arn, token=late.token()) == NOT_AUTHORIZED


def away(arn):
    """A provider that has gone: its keys are known, or they are not."""
    with contextlib.ExitStack() as running:
        known, unknown = Provider(running), Provider(running)
        tokens = []
        for name, provider in [("known", known), ("unknown", unknown)]:
            registered(provider, [CLIENT])
            anybody = {"StringEquals": {f"{provider.name}:aud": CLIENT}}
            arn = role(name, provider, anybody, [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
            tokens.append((arn, provider.token(), provider.token("grace")))
        assume(tokens[0][0], tokens[0][1])
    assume(tokens[0][0], tokens[0][2])
    message = refused("InvalidIdentityToken", assume, arn=tokens[1][0], token=tokens[1][1])
    assert message.startswith("Couldn't retrieve verification key from your identity provider"), message


def told_nothing_of_inner_hosts():
    """Whoever may make providers learns neither from the answer nor from its time whether somebody listens behind a URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    silent = socket.create_server(("127.0.0.1", 0))
    with socketserver.TCPServer(("127.0.0.1", 0), Page) as page, socket.create_server(("127.0.0.1", 0)) as closed, silent:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        ports = [page.server_address[1], silent.getsockname()[1], closed.getsockname()[1]]
        closed.close()
        told = []
        for port in ports:
            name = f"localhost:{port}"
            arn = iam.create_open_id_connect_provider(Url=f"http://{name}", ClientIDList=[CLIENT])["OpenIDConnectProviderArn"]
            trust = {"Effect": "Allow", "Principal": {"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity"}
            text = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
            taken = iam.create_role(RoleName=f"inner-{port}", AssumeRolePolicyDocument=text)["Role"]["Arn"]
            encoded = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
            claims = {"iss": f"http://{name}", "sub": "x", "aud": CLIENT, "exp": int(time.time()) + 600}
            token = f"{encoded({'alg': 'RS256', 'kid': '1'})}.{encoded(claims)}.c2ln"
            began = time.monotonic()
            message = refused("InvalidIdentityToken", assume, arn=taken, token=token)
            told.append((message.replace(name, ""), time.monotonic() - began))
        assert len({message for message, _ in told}) == 1, told
        times = [took for _, took in told]
        assert max(times) - min(times) < 1, told
        page.shutdown()


def tags_of_tokens(running):
    """Both forms of tags count, must be allowed, and travel through a chain; and so does who stands behind a session."""
    tags = "https://aws.amazon.com/tags"
    nested = {tags: {"principal_tags": {"Team": ["red"], "Cost": ["7"]}, "transitive_tag_keys": ["TEAM"]}}
    flat = {f"{tags}/principal_tags/Team": "red", f"{tags}/principal_tags/Cost": "7", f"{tags}/transitive_tag_keys": ["Team"]}
    behind = {"https://aws.amazon.com/source_identity": "ada.l"}
    user = oidc_provider_mock.User
    further = [
        user(sub="nested", claims=nested),
        user(sub="flat", claims=flat),
        user(sub="behind", claims=behind),
        user(sub="odd", claims={tags: {"principal_tags": {"Team": ["red", "blue"]}}}),
        user(sub="two", claims={**nested, f"{tags}/principal_tags/team": "blue"}),
    ]
    provider = Provider(running, further=further)
    registered(provider, [CLIENT])
    everything = [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]
    arn = role("tagged", provider, {"StringEquals": {f"{provider.name}:aud": CLIENT}}, everything)
    token = lambda subject: provider.token(subject)
    assume(arn, token("ada"))
    # The trust policy has to allow what the token asks for beside the role.
    for subject, action in [("nested", "TagSession"), ("flat", "TagSession"), ("behind", "SetSourceIdentity")]:
        assert refused("AccessDenied", assume, arn=arn, token=token(subject)) == f"Not authorized to perform sts:{action}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider.arn},
        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
    }
    limited = {**trust, "Condition": {"StringEquals": {"aws:RequestTag/Team": "blue"}}}
    put_trust = lambda name, *statements: iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    )
    put_trust("tagged", limited)
    for subject in ["nested", "flat"]:
        refused("AccessDenied", assume, arn=arn, token=token(subject))
    put_trust("tagged", trust)
    refused("InvalidIdentityToken", assume, arn=arn, token=token("odd"))
    refused("InvalidParameterValue", assume, arn=arn, token=token("two"))
    # What the session hands on is what its tags say, whatever the case of a key.
    second = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}
    condition = {"StringEquals": {"aws:PrincipalTag/Team": "red"}, "Null": {"aws:PrincipalTag/Cost": "true"}}
    by_team = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": condition}
    by_source = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceIdentity": "ada.l"}}}
    text = json.dumps({"Version": "2012-10-17", "Statement": [second]})
    chained = iam.create_role(RoleName="chained", AssumeRolePolicyDocument=text)["Role"]["Arn"]
    for subject, may in [("nested", by_team), ("flat", by_team), ("behind", by_source)]:
        iam.put_role_policy(RoleName="chained", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}))
        first = assume(arn, token(subject))
        assert first.get("SourceIdentity") == ("ada.l" if subject == "behind" else None), first
        keys = first["Credentials"]
        own = boto3.client("sts", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
        s3_of(own.assume_role(RoleArn=chained, RoleSessionName="next")).list_buckets()


with contextlib.ExitStack() as running:
    provider = Provider(running)
    s3.create_bucket(Bucket="federated")
    registered(provider, ["other", CLIENT])
    refused("EntityAlreadyExists", iam.create_open_id_connect_provider, Url=provider.issuer, ClientIDList=[CLIENT])
    arn = who_may(provider)
    sessions(provider, arn)
    conditions(provider)
    refusals(provider, arn, running)
    away(arn)
    tags_of_tokens(running)
    told_nothing_of_inner_hosts()
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider.arn)
    refused("InvalidIdentityToken", assume, arn=arn, token=provider.token())
