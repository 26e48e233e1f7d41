"""What the scripts about identities share: clients of a caller, refusals, policies."""

import json
import os
import uuid

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

# A request that fails is never sent again: what a script sees is what the gateway answered first.
ONCE = {"total_max_attempts": 1, "mode": "standard"}
session = boto3.Session()


class Caller:
    """The clients of one set of credentials, made when they are first asked for."""

    def __init__(self, access_key_id=None, secret_access_key=None, session_token=None):
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token
        self.clients = {}

    def __getattr__(self, service):
        if service not in ("s3", "kms", "iam", "sts"):
            raise AttributeError(service)
        return self.client(service)

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = self.new_client(service)
        return self.clients[service]

    def new_client(self, service, **config):
        """A client of its own; without `parameter_validation` it sends what botocore would not."""
        if not self.access_key_id:
            config["signature_version"] = UNSIGNED
        return session.client(
            service,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            aws_session_token=self.session_token,
            config=Config(retries=ONCE, **config),
        )

    @property
    def account(self):
        return self.sts.get_caller_identity()["Account"]


def of_key(answer):
    """The caller that an answer of CreateAccessKey makes."""
    key = answer["AccessKey"]
    return Caller(key["AccessKeyId"], key["SecretAccessKey"])


def of_session(answer):
    """The caller that an answer of STS makes."""
    made = answer["Credentials"]
    return Caller(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


root = Caller(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
other_root = Caller(os.environ["OTHER_ACCESS_KEY_ID"], os.environ["OTHER_SECRET_ACCESS_KEY"])
anonymous = Caller()
other_account = os.environ["OTHER_ACCOUNT_ID"]
endpoint = os.environ["AWS_ENDPOINT_URL"]


def refused(code, operation, status=None, **parameters):
    """The operation must be refused by this name, or by one of these."""
    codes = (code,) if isinstance(code, str) else code
    try:
        operation(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] in codes, f"{code}: {error}"
        if status:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        return error.response
    raise AssertionError(f"not refused with {code}")


def message_of(answer):
    """The text of a refusal."""
    return answer["Error"]["Message"]


def statement(effect, actions, resources="*", **more):
    return {"Effect": effect, "Action": actions, "Resource": resources, **more}


def policy(*statements):
    """The text of a policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allowing(actions, resources="*", **more):
    """The text of a policy that allows this."""
    return policy(statement("Allow", actions, resources, **more))


def denying(actions, resources="*", **more):
    """The text of a policy that denies this."""
    return policy(statement("Deny", actions, resources, **more))


def trusting(principal, actions="sts:AssumeRole", **more):
    """The text of a role's trust policy."""
    who = {"AWS": principal} if isinstance(principal, (str, list)) else principal
    return policy({"Effect": "Allow", "Principal": who, "Action": actions, **more})


def same(policy_read, policy_written):
    """Do two policies say the same? What IAM answers is decoded already; S3 and KMS answer text."""
    parsed = [json.loads(one) if isinstance(one, str) else one for one in (policy_read, policy_written)]
    return parsed[0] == parsed[1]


def unique(prefix):
    """A name that nothing else here has."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def new_user(iam, name, policy_text=None, **parameters):
    """Makes a user with an access key; answers the user and who signs with the key."""
    user = iam.create_user(UserName=name, **parameters)["User"]
    if policy_text:
        iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=policy_text)
    return user, of_key(iam.create_access_key(UserName=name))


def new_role(iam, name, trust, policy_text=None, **parameters):
    """Makes a role; answers it."""
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **parameters)["Role"]
    if policy_text:
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=policy_text)
    return role


def assume(caller, role, name="session", **parameters):
    """Who acts in a session of the role."""
    return of_session(caller.sts.assume_role(RoleArn=role, RoleSessionName=name, **parameters))


def run(cases):
    """Runs the cases in order, and tells how many there were."""
    for case in cases:
        case()
        print(case.__name__)
    print(f"{len(cases)} cases")
