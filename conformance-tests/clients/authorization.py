"""Who may do what: asks every row of authorization.tsv, and lists the rows that were answered otherwise.

Fixtures are made once. For each row the named policies are put where they are not in force yet, and then the principal asks.
A name of the table stands for statements; they are made in `identity_statements` and `resource_statements`.
"""

import itertools
import pathlib
import re
import time

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from common import anonymous, assume, new_role, new_user, of_key, of_session, other_account, other_root, policy, root, statement, trusting

COLUMNS = ["id", "principal", "identity", "boundary", "session", "resource", "request", "expected", "by"]
BUCKET, RESTRICTED, ELSEWHERE = "matrix-bucket", "matrix-restricted", "matrix-elsewhere"
SESSION = "matrix-session"
CONTEXT = {"purpose": "matrix"}
MANAGED = "arn:aws:iam::aws:policy/"
# Parameters that an action does not have, under the names of those that guards ask for.
STRAY = {
    "PermissionsBoundary": MANAGED + "AdministratorAccess",
    "PolicyArn": MANAGED + "ReadOnlyAccess",
    "Tags.member.1.Key": "team",
    "Tags.member.1.Value": "red",
    "TagKeys.member.1": "team",
}

# What sessions may have that AssumeRole is asked for.
OF_SESSIONS = {"tags": {"Tags": [{"Key": "team", "Value": "red"}]}, "source": {"SourceIdentity": "matrix"}}

# What the refusal must say; {} is the action.
ELSEWHERE = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
REASONS = {
    "identity": "because no identity-based policy allows the {} action",
    "identity-explicit": "with an explicit deny in an identity-based policy",
    "boundary": "because no permissions boundary allows the {} action",
    "boundary-explicit": "with an explicit deny in a permissions boundary",
    "session": "because no session policy allows the {} action",
    "session-explicit": "with an explicit deny in a session",
    "resource": "because no resource-based policy allows the {} action",
    "resource-explicit": "with an explicit deny in a resource-based policy",
    "trust": "because no role trust policy allows the {} action",
    "trust-explicit": "with an explicit deny in the role trust policy",
}
# Refusals that are told by their code: a token that IAM does not take, and a bucket of somebody else.
CODES = {"token": "InvalidClientTokenId", "owner": "MethodNotAllowed"}
DENIALS = {"AccessDenied", "AccessDeniedException"}
# Who did not sign, or signed with a session that the service never takes.
UNKNOWN = {"MissingAuthenticationToken", "MissingAuthenticationTokenException"}

# An action of the same service that no row asks for.
OTHER_ACTION = {"kms": "kms:ListAliases", "iam": "iam:ListRoles", "sts": "sts:DecodeAuthorizationMessage"}
OF_BUCKETS = {"s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:CreateBucket"}
OF_NOTHING = {"s3:ListAllMyBuckets", "kms:CreateKey", "kms:ListKeys", "iam:ListUsers", "sts:GetCallerIdentity", "sts:GetSessionToken", "sts:GetFederationToken"}


class Holder:
    """A user, group or role: who has identity policies and a boundary. Remembers what is in force."""

    def __init__(self, iam, kind, name, bounded=None):
        self.iam, self.kind, self.name = iam, kind, name
        self.bounded = bounded or self
        self.inline, self.managed, self.boundary = None, [], None

    def call(self, operation, **parameters):
        named = {f"{self.kind.title()}Name": self.name}
        return getattr(self.iam, operation.format(self.kind))(**named, **parameters)

    def put(self, inline, managed):
        if inline != self.inline:
            if inline:
                self.call("put_{}_policy", PolicyName="matrix", PolicyDocument=inline)
            else:
                self.call("delete_{}_policy", PolicyName="matrix")
            self.inline = inline
        for arn in [arn for arn in self.managed if arn not in managed]:
            self.call("detach_{}_policy", PolicyArn=arn)
        for arn in [arn for arn in managed if arn not in self.managed]:
            self.call("attach_{}_policy", PolicyArn=arn)
        self.managed = managed

    def put_boundary(self, arn):
        if arn == self.boundary:
            return
        if arn:
            self.call("put_{}_permissions_boundary", PermissionsBoundary=arn)
        else:
            self.call("delete_{}_permissions_boundary")
        self.boundary = arn


class Principal:
    """Somebody who asks: what policies call him, what holds his policies, and how he gets credentials."""

    def __init__(self, account, arn, role=None, user=None, username=None, holder=None, iam=None, opened=None):
        self.account, self.arn, self.role, self.user = account, arn, role, user
        self.username, self.holder, self.iam, self.opened = username, holder, iam, opened
        self.sessions = {}

    def caller(self, session_policy):
        if session_policy not in self.sessions:
            self.sessions[session_policy] = self.opened({"Policy": session_policy} if session_policy else {})
        return self.sessions[session_policy]

    @property
    def condition_arn(self):
        """What aws:PrincipalArn says of him: the role, for its sessions."""
        return self.role or self.arn


def made():
    """Makes every fixture; answers the principals by their names, and what else rows need."""
    account, iam = root.account, root.iam
    arn = lambda what, of=account: f"arn:aws:iam::{of}:{what}"
    tags = {"Tags": [{"Key": "team", "Value": "red"}]}
    principals = {}

    def user(name, of, number, member_of=None):
        of.iam.create_user(UserName=name, **tags)
        signs = of_key(of.iam.create_access_key(UserName=name))
        holder = Holder(of.iam, "user", name)
        if member_of:
            of.iam.create_group(GroupName=member_of)
            of.iam.add_user_to_group(GroupName=member_of, UserName=name)
            holder = Holder(of.iam, "group", member_of, bounded=holder)
        named = arn(f"user/{name}", number)
        return Principal(number, named, user=named, username=name, holder=holder, iam=of.iam, opened=lambda _: signs), signs

    def role(name, of, number, keeper, keeper_arn):
        named = new_role(of.iam, name, trusting(keeper_arn), **tags)["Arn"]
        session = f"arn:aws:sts::{number}:assumed-role/{name}/{SESSION}"
        opened = lambda policies: assume(keeper, named, SESSION, **policies)
        return Principal(number, session, role=named, username=SESSION, holder=Holder(of.iam, "role", name), iam=of.iam, opened=opened)

    # Keepers assume the roles; the first also sees to the key, whose policy may shut out the root user.
    take = policy(statement("Allow", ["sts:AssumeRole"]))
    keeper_user, keeper = new_user(iam, "matrix-keeper", take)
    other_keeper_user, other_keeper = new_user(other_root.iam, "matrix-keeper", take)
    for name in ["matrix-somebody", "matrix-subject", "matrix-bounded"]:
        iam.create_user(UserName=name)

    principals["root"] = Principal(account, arn("root"), iam=iam, opened=lambda _: root)
    principals["user"], _ = user("matrix-user", root, account)
    principals["group-user"], _ = user("matrix-member", root, account, member_of="matrix-group")
    principals["role"] = role("matrix-role", root, account, keeper, keeper_user["Arn"])
    principals["anonymous"] = Principal("anonymous", "anonymous", opened=lambda _: anonymous)

    parent, signs = user("matrix-federator", root, account)
    iam.put_user_policy(UserName="matrix-federator", PolicyName="federates", PolicyDocument=policy(statement("Allow", "sts:GetFederationToken")))
    principals["federated"] = Principal(
        account, f"arn:aws:sts::{account}:federated-user/{SESSION}", user=parent.arn, username=parent.username, holder=parent.holder, iam=iam,
        opened=lambda policies: of_session(signs.sts.get_federation_token(Name=SESSION, **policies)),
    )
    sitting, sits = user("matrix-sitting", root, account)
    sitting.opened = lambda _: of_session(sits.sts.get_session_token())
    principals["session-user"] = sitting

    principals["other-root"] = Principal(other_account, arn("root", other_account), iam=other_root.iam, opened=lambda _: other_root)
    principals["other-user"], _ = user("matrix-user", other_root, other_account)
    principals["other-role"] = role("matrix-role", other_root, other_account, other_keeper, other_keeper_user["Arn"])

    for name in [BUCKET, RESTRICTED]:
        root.s3.create_bucket(Bucket=name)
    root.s3.delete_public_access_block(Bucket=BUCKET)
    root.s3.put_public_access_block(Bucket=RESTRICTED, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    homes = {principal.username for principal in principals.values() if principal.username} | {"red"}
    for key in ["object", *(f"home/{name}/object" for name in homes)]:
        root.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    root.s3.put_object(Bucket=RESTRICTED, Key="object", Body=b"x")

    key = root.kms.create_key()["KeyMetadata"]["Arn"]
    ciphertext = root.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    target = new_role(iam, "matrix-target", trusting(arn("user/matrix-somebody")))["Arn"]
    return principals, keeper, key, ciphertext, target


principals, keeper, key, ciphertext, target = made()
owner = root.account
somebody = f"arn:aws:iam::{owner}:user/matrix-somebody"


class Row:
    """A row of the table, with what follows from its names."""

    def __init__(self, line):
        cells = line.split("\t")
        assert len(cells) == len(COLUMNS), f"{len(cells)} columns: {line}"
        self.cells = dict(zip(COLUMNS, cells))
        for column, cell in self.cells.items():
            setattr(self, column, cell)
        assert self.expected in ("allow", "deny") and self.by in {"-", *REASONS, *CODES}, line
        assert self.expected == "deny" or self.by == "-", line
        assert self.session == "-" or self.principal in ("role", "other-role", "federated"), line
        self.principal_name, self.principal = self.principal, principals[self.principal]
        self.action, _, self.variant = self.request.partition("@")
        self.service = self.action.split(":")[0]
        self.bucket = RESTRICTED if self.variant == "restricted" else BUCKET
        name = {"own": self.principal.username, "team": "red"}.get(self.variant)
        self.object = f"home/{name}/object" if name else "object"
        self.subject = self.principal.username if self.variant == "own" else "matrix-subject"
        if self.action == "iam:PutUserPermissionsBoundary":
            # Whose boundary other rows do not look at.
            self.subject = "matrix-bounded"
        self.made = f"matrix-made-{self.id}"
        self.arn, self.elsewhere = self.arns()
        of_s3 = "s3:GetBucketLocation" if self.action in OF_BUCKETS else "s3:GetObjectTagging"
        self.other_action = OTHER_ACTION.get(self.service, of_s3)

    def arns(self):
        """What is asked for, and another thing of that kind."""
        user = f"arn:aws:iam::{self.principal.account}:user"
        if self.action in OF_NOTHING:
            return "*", {"s3": f"arn:aws:s3:::{ELSEWHERE}", "iam": f"{user}/matrix-nobody"}.get(self.service, f"{key}0")
        if self.action == "s3:CreateBucket":
            return f"arn:aws:s3:::{self.made}", f"arn:aws:s3:::{ELSEWHERE}"
        if self.action in OF_BUCKETS:
            return f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{ELSEWHERE}"
        if self.service == "s3":
            written = "written" if self.action == "s3:PutObject" else "absent" if self.action == "s3:DeleteObject" else self.object
            return f"arn:aws:s3:::{self.bucket}/{written}", f"arn:aws:s3:::{self.bucket}/elsewhere"
        if self.service == "kms":
            return key, f"{key}0"
        if self.service == "iam":
            return f"{user}/{self.made if self.action == 'iam:CreateUser' else self.subject}", f"{user}/matrix-nobody"
        return target, f"{target}0"

    def __str__(self):
        return " | ".join(self.cells.values())


def tokens(cell):
    return [] if cell == "-" else cell.split("+")


def condition(name, row):
    """The condition that a name behind `if` stands for."""
    tag, local = "aws:PrincipalTag", ["127.0.0.0/8", "::1/128"]
    return {
        "true": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        "false": {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        "both": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}, "StringEquals": {f"{tag}/team": "blue"}},
        "missing": {"StringEquals": {f"{tag}/none": "x"}},
        "missing-not": {"StringNotEquals": {f"{tag}/none": "x"}},
        "exists": {"StringEqualsIfExists": {f"{tag}/none": "x"}},
        "null": {"Null": {f"{tag}/none": "true"}},
        "tag": {"StringEquals": {f"{tag}/team": "red"}},
        "local": {"IpAddress": {"aws:SourceIp": local}},
        "far": {"NotIpAddress": {"aws:SourceIp": local}},
        "arn": {"ArnEquals": {"aws:PrincipalArn": row.principal.condition_arn}},
        "account": {"StringEquals": {"aws:PrincipalAccount": row.principal.account}},
        "owner": {"StringEquals": {"aws:PrincipalAccount": owner}},
        "username": {"StringEquals": {"aws:username": row.principal.username or "nobody"}},
        "bounded": {"StringEquals": {"iam:PermissionsBoundary": MANAGED + "AdministratorAccess"}},
        "unbounded": {"StringNotEquals": {"iam:PermissionsBoundary": MANAGED + "AdministratorAccess"}},
        "tagged": {"StringEquals": {"aws:RequestTag/team": "red"}},
        "tag-keys": {"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}},
        "reader": {"ArnEquals": {"iam:PolicyARN": MANAGED + "ReadOnlyAccess"}},
    }[name]


def identity_statements(names, row):
    """Statements of identity policies, boundaries and session policies, by their names: what is allowed or denied, and how it is said."""
    shapes = {
        "": (row.action, row.arn),
        "any": ("*", "*"),
        "service": (f"{row.service}:*", "*"),
        "wildcard": (row.action[:-2] + "??", row.arn),
        "case": (row.service.upper() + row.action.removeprefix(row.service).lower(), row.arn),
        "other": (row.other_action, "*"),
        "elsewhere": (row.action, row.elsewhere),
    }
    statements = []
    for name in names:
        if name in ("variable", "variable-tag"):
            value = "${aws:username}" if name == "variable" else "${aws:PrincipalTag/team}"
            user = f"arn:aws:iam::{row.principal.account}:user/{value}"
            statements.append(statement("Allow", row.action, user if row.service == "iam" else f"arn:aws:s3:::{row.bucket}/home/{value}/*"))
            continue
        effect, _, shape = name.partition("-")
        made = {"Effect": effect.title()}
        if shape.startswith("if-"):
            made |= {"Action": row.action, "Resource": row.arn, "Condition": condition(shape.removeprefix("if-"), row)}
        elif shape in ("not-action", "not-other-action"):
            made |= {"NotAction": row.action if shape == "not-action" else row.other_action, "Resource": "*"}
        elif shape in ("not-resource", "not-elsewhere"):
            made |= {"Action": row.action, "NotResource": row.arn if shape == "not-resource" else row.elsewhere}
        else:
            made |= dict(zip(["Action", "Resource"], shapes[shape]))
        statements.append(made)
    return statements


def resource_statements(names, row):
    """Statements of bucket, key and trust policies, by their names: effect, whom, and perhaps a condition or another thing."""
    who = row.principal
    whom = {
        "principal": {"AWS": who.arn},
        "role": {"AWS": who.role},
        "session": {"AWS": who.arn},
        "other-session": {"AWS": f"{who.arn}-2"},
        "user": {"AWS": who.user},
        "account": {"AWS": f"arn:aws:iam::{who.account}:root"},
        "account-id": {"AWS": who.account},
        "owner": {"AWS": f"arn:aws:iam::{owner}:root"},
        "everyone": "*",
        "everyone-aws": {"AWS": "*"},
        "somebody": {"AWS": somebody},
    }
    on = {"s3": {"Resource": row.arn}, "kms": {"Resource": "*"}}.get(row.service, {})
    statements = []
    for name in names:
        if name == "none-root":
            continue
        if name in ("default", "default-describe"):
            actions = "kms:*" if name == "default" else "kms:DescribeKey"
            statements.append({"Effect": "Allow", "Principal": whom["owner"], "Action": actions, **on})
            continue
        if name == "not-principal-deny":
            spared = [arn for arn in (who.arn, who.role, f"arn:aws:iam::{who.account}:root") if arn]
            statements.append({"Effect": "Deny", "NotPrincipal": {"AWS": sorted(set(spared))}, "Action": row.action, **on})
            continue
        if name == "not-principal-deny-somebody":
            spared = [somebody, f"arn:aws:iam::{owner}:root"]
            statements.append({"Effect": "Deny", "NotPrincipal": {"AWS": spared}, "Action": row.action, **on})
            continue
        effect, _, rest = name.partition("-")
        rest, _, asked = rest.partition("-if-")
        made = {"Effect": effect.title(), "Action": row.action, **on}
        if rest not in whom and rest.endswith("-other"):
            rest = rest.removesuffix("-other")
            made["Action"] = "sts:TagSession" if row.service == "sts" else row.other_action
        elif rest not in whom and rest.endswith("-elsewhere"):
            rest = rest.removesuffix("-elsewhere")
            made["Resource"] = row.elsewhere
        assert whom[rest] != {"AWS": None}, f"{row.id}: there is no {rest}"
        made["Principal"] = whom[rest]
        if asked:
            made["Condition"] = condition(asked, row)
        statements.append(made)
    return statements


class World:
    """What is in force of buckets, key and role, and managed policies that were made already."""

    def __init__(self):
        self.bucket_policies = {BUCKET: "", RESTRICTED: ""}
        self.key_policy = self.trust = None
        self.managed = {}
        self.numbers = itertools.count()

    def managed_policy(self, row, text):
        """The ARN of a managed policy of this text, in the account of the principal."""
        place = (row.principal.account, text)
        if place not in self.managed:
            made = row.principal.iam.create_policy(PolicyName=f"matrix-{next(self.numbers)}", PolicyDocument=text)
            self.managed[place] = made["Policy"]["Arn"]
        return self.managed[place]

    def put_identity(self, row):
        holder = row.principal.holder
        names = tokens(row.identity)
        assert holder or not names, f"{row.id}: a {row.principal_name} has no identity policies"
        if not holder:
            return
        inline = identity_statements([name for name in names if not name.startswith(("managed-", "aws-"))], row)
        arns = [f"arn:aws:iam::aws:policy/{name.removeprefix('aws-')}" for name in names if name.startswith("aws-")]
        for name in names:
            if name.startswith("managed-"):
                arns.append(self.managed_policy(row, policy(*identity_statements([name.removeprefix("managed-")], row))))
        holder.put(policy(*inline) if inline else None, arns)
        boundary = identity_statements(tokens(row.boundary), row)
        holder.bounded.put_boundary(self.managed_policy(row, policy(*boundary)) if boundary else None)

    def put_resource(self, row):
        """Puts the policy of the resource; answers the grant that was made for this row."""
        names = [name for name in tokens(row.resource) if not name.startswith("grant")]
        statements = resource_statements(names, row)
        if row.service == "s3":
            self.put_bucket_policy(row.bucket, policy(*statements) if statements else "")
        if row.service == "kms":
            self.put_key_policy(statements if names or row.resource != "-" else resource_statements(["default"], row))
            return self.grant(row)
        if row.action == "sts:AssumeRole":
            text = policy(*statements)
            if text != self.trust:
                root.iam.update_assume_role_policy(RoleName="matrix-target", PolicyDocument=text)
                self.trust = text
        return None

    def put_bucket_policy(self, bucket, text):
        if text == self.bucket_policies[bucket]:
            return
        if text:
            root.s3.put_bucket_policy(Bucket=bucket, Policy=text)
        else:
            root.s3.delete_bucket_policy(Bucket=bucket)
        self.bucket_policies[bucket] = text

    def put_key_policy(self, statements):
        """The keeper is always in it: somebody must be able to change it."""
        keeps = ["kms:PutKeyPolicy", "kms:CreateGrant", "kms:RevokeGrant"]
        kept = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{owner}:user/matrix-keeper"}, "Action": keeps, "Resource": "*"}
        text = policy(kept, *statements)
        if text == self.key_policy:
            return
        # Before the first one the key has the default policy, which lets the root user put another.
        by = keeper if self.key_policy else root
        by.kms.put_key_policy(KeyId=key, Policy=text, BypassPolicyLockoutSafetyCheck=True)
        self.key_policy = text

    def grant(self, row):
        names = [name for name in tokens(row.resource) if name.startswith("grant")]
        if not names:
            return None
        (name,) = names
        operation = row.action.removeprefix("kms:")
        grantee = {"grant-somebody": somebody, "grant-role": row.principal.role}.get(name, row.principal.arn)
        parameters = {"KeyId": key, "GranteePrincipal": grantee, "Operations": [operation]}
        if name == "grant-other":
            parameters["Operations"] = ["Decrypt" if operation == "Encrypt" else "Encrypt"]
        if name.startswith("grant-if-"):
            parameters["Operations"] = sorted({operation, "Encrypt"})
            parameters["Constraints"] = {"EncryptionContextEquals": CONTEXT if name == "grant-if-true" else {"purpose": "other"}}
        return keeper.kms.create_grant(**parameters)["GrantId"]


world = World()


def with_stray(client, operation, **parameters):
    """Asks IAM, with the parameters of `STRAY` that the operation does not have."""
    model = client.meta.service_model.operation_model(operation).input_shape.members
    more = {name: value for name, value in STRAY.items() if name.split(".")[0] not in model}
    event = f"before-call.iam.{operation}"
    client.meta.events.register(event, lambda params, **_: params["body"].update(more), unique_id="stray")
    try:
        return getattr(client, xform_name(operation))(**parameters)
    finally:
        client.meta.events.unregister(event, unique_id="stray")


def of_iam(caller, row):
    """Asks IAM for what a row says, as its variant has it."""
    operation = row.action.removeprefix("iam:")
    parameters = {"UserName": row.made if operation == "CreateUser" else row.subject}
    if row.variant == "case":
        parameters["UserName"] = parameters["UserName"].upper()
    if operation == "PutUserPolicy":
        parameters |= {"PolicyName": "matrix", "PolicyDocument": policy(statement("Allow", "s3:ListAllMyBuckets"))}
    if operation == "AttachUserPolicy":
        parameters["PolicyArn"] = MANAGED + ("ReadOnlyAccess" if row.variant == "reader" else "PowerUserAccess")
    if operation == "PutUserPermissionsBoundary" or row.variant == "bounded":
        parameters["PermissionsBoundary"] = MANAGED + ("AdministratorAccess" if row.variant == "bounded" else "PowerUserAccess")
    if operation == "TagUser" or row.variant == "tagged":
        parameters["Tags"] = [{"Key": "team", "Value": "red" if row.variant == "tagged" else "blue"}]
    if operation == "UntagUser":
        parameters["TagKeys"] = ["team" if row.variant == "tagged" else "none"]
        parameters.pop("Tags", None)
    if row.variant == "stray":
        return with_stray(caller.iam, operation, **parameters)
    return getattr(caller.iam, xform_name(operation))(**parameters)


def put(caller, row):
    """Writes an object, at once or in parts."""
    at = {"Bucket": row.bucket, "Key": "written"}
    if row.variant == "parts":
        return caller.s3.create_multipart_upload(**at)
    return caller.s3.put_object(**at, Body=b"x")


def ask(caller, row):
    """Sends the request of a row."""
    at, made = {"Bucket": row.bucket}, row.made
    # The policy that is there already, or one that changes nothing.
    kept = world.bucket_policies[row.bucket] or policy({"Effect": "Allow", "Principal": {"AWS": somebody}, "Action": "s3:GetBucketLocation", "Resource": f"arn:aws:s3:::{row.bucket}"})
    requests = {
        "s3:GetObject": lambda: caller.s3.get_object(**at, Key=row.object)["Body"].read(),
        "s3:PutObject": lambda: put(caller, row),
        "s3:DeleteObject": lambda: caller.s3.delete_object(**at, Key="absent"),
        "s3:ListBucket": lambda: caller.s3.list_objects_v2(**at),
        "s3:GetBucketPolicy": lambda: caller.s3.get_bucket_policy(**at),
        "s3:PutBucketPolicy": lambda: caller.s3.put_bucket_policy(**at, Policy=kept),
        "s3:DeleteBucketPolicy": lambda: caller.s3.delete_bucket_policy(**at),
        "s3:CreateBucket": lambda: caller.s3.create_bucket(Bucket=made),
        "s3:ListAllMyBuckets": lambda: caller.s3.list_buckets(),
        "kms:Encrypt": lambda: caller.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT),
        "kms:Decrypt": lambda: caller.kms.decrypt(KeyId=key, CiphertextBlob=ciphertext, EncryptionContext=CONTEXT),
        "kms:GenerateDataKey": lambda: caller.kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT),
        "kms:DescribeKey": lambda: caller.kms.describe_key(KeyId=key),
        "kms:CreateKey": lambda: caller.kms.create_key(),
        "kms:ListKeys": lambda: caller.kms.list_keys(),
        "iam:GetUser": lambda: caller.iam.get_user(UserName=row.subject),
        "iam:ListUsers": lambda: caller.iam.list_users(),
        "sts:AssumeRole": lambda: caller.sts.assume_role(RoleArn=target, RoleSessionName="matrix", **OF_SESSIONS.get(row.variant, {})),
        "sts:GetCallerIdentity": lambda: caller.sts.get_caller_identity(),
        "sts:GetSessionToken": lambda: caller.sts.get_session_token(),
        "sts:GetFederationToken": lambda: caller.sts.get_federation_token(Name="matrix"),
    }
    asked = requests.get(row.action)
    return asked() if asked and row.variant not in ("case", "stray") else of_iam(caller, row)


def answer(caller, row):
    """What the gateway answers: allow, or the code and the message of the refusal."""
    try:
        ask(caller, row)
    except ClientError as error:
        told = error.response["Error"]
        # Who may read a policy is told that there is none.
        return "allow" if told["Code"] == "NoSuchBucketPolicy" else (told["Code"], told.get("Message", ""))
    except BotoCoreError as error:
        return type(error).__name__, str(error)
    finally:
        if row.action in ("s3:PutBucketPolicy", "s3:DeleteBucketPolicy"):
            world.bucket_policies[row.bucket] = None
    return "allow"


def fits(row, got):
    """Is this the answer that the row expects?"""
    if row.expected == "allow" or got == "allow":
        return row.expected == got
    code, message = got
    if row.by in CODES:
        return code == CODES[row.by]
    accepted = DENIALS | (UNKNOWN if row.principal_name == "anonymous" else set())
    if row.principal_name == "federated" and row.service == "iam":
        accepted = accepted | {CODES["token"]}
    if row.service == "kms" and row.principal.account != owner and row.by.startswith("resource"):
        # KMS does not tell another account which of these it is.
        return code in accepted and ELSEWHERE in message
    # Other refusals than by policy are no answers to the question.
    return code in accepted and REASONS.get(row.by, "").format(row.action) in message


def session_policy(row):
    statements = identity_statements(tokens(row.session), row)
    return policy(*statements) if statements else None


def table():
    text = pathlib.Path(__file__).with_name("authorization.tsv").read_text()
    rows = [Row(line) for line in text.splitlines() if line and not line.startswith("#")]
    ids = [row.id for row in rows]
    assert len(set(ids)) == len(ids), "an id stands twice"
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in ids)
    questions = [tuple(row.cells[column] for column in COLUMNS[1:-2]) for row in rows]
    assert len(set(questions)) == len(questions), "a question stands twice"
    assert len(rows) >= 300, len(rows)
    return rows


def main():
    began = time.monotonic()
    rows = table()
    # Sessions are opened first: policies of later rows would keep their users from it.
    for row in rows:
        row.principal.caller(session_policy(row))
    wrong = []
    order = lambda row: (row.service, row.principal_name, row.resource, row.action, row.boundary, row.identity)
    for row in sorted(rows, key=order):
        try:
            world.put_identity(row)
            granted = world.put_resource(row)
            got = answer(row.principal.caller(session_policy(row)), row)
            if granted:
                keeper.kms.revoke_grant(KeyId=key, GrantId=granted)
        except ClientError as error:
            got = ("not put in force", str(error))
        if not fits(row, got):
            wrong.append((rows.index(row), f"{row}\n    got {got if got == 'allow' else ': '.join(got)}"))
    for _, text in sorted(wrong):
        print(text)
    assert not wrong, f"{len(wrong)} of {len(rows)} rows were answered otherwise"
    print(f"{len(rows)} rows of the authorization matrix, in {time.monotonic() - began:.0f} s")


main()
