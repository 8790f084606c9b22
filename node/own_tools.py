"""The built-in tools over this twin's own name, mail and Git repository: what they are given of the node, and no more.

They sign, write and push in the owner's name, so they are `owner_only`: no goal, memory or other twin makes one of
them run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from identity.artifacts import SignedArtifact, is_valid, sign_artifact
from identity.did import Did, parse_did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.clock import rfc3339
from node.hive.git.sync import GitSync
from node.messaging.post_office import PostOffice
from node.trust import TrustList
from plugins.builtin import didcomm, hive, identity
from plugins.builtin.didcomm import Received, Sent
from plugins.builtin.identity import Signed
from plugins.sdk import Plugin
from protocols.message import parse_message
from storage.mailbox import InboxRow


def identity_tools(did: Did, sign: Callable[[bytes], bytes], resolver: Resolver) -> Plugin:
    """Signing as this twin, and verifying whoever resolves."""

    def sign_value(artifact: Any) -> Signed:
        try:
            signed = sign_artifact(artifact, did=did, sign=sign)
        except PagiError as error:
            raise identity.Refused(_told(error)) from error
        return Signed(signed.did, signed.signature, signed.artifact)

    async def verify(signed: Signed) -> bool:
        try:
            signer = parse_did(signed.did)
            document = await resolver.resolve(signer)
            artifact = SignedArtifact(signer, signed.signature, signed.artifact)
            return is_valid(artifact, resolve=lambda _: document)
        except PagiError as error:
            raise identity.Refused(_told(error)) from error

    return identity.plugin(sign_value, verify)


def didcomm_tools(mail: PostOffice, trust: TrustList, current: Callable[[Did], Did]) -> Plugin:
    """Writing to others, and reading what they wrote. `current` gives the DID that a DID was replaced by, or itself."""

    async def send(to: str, message_type: str, body: Mapping[str, Any]) -> Sent:
        try:
            sent = await mail.send(current(parse_did(to)), message_type, body)
        except PagiError as error:
            raise didcomm.Refused(_told(error)) from error
        return Sent(sent.id, sent.status)

    async def inbox(limit: int) -> Sequence[Received]:
        return [_received(row, trust) for row in (await mail.inbox(limit)).items]

    return didcomm.plugin(send, inbox)


def hive_tools(git: GitSync) -> Plugin:
    """Keeping the playbook's Git repository in step."""

    async def pull() -> hive.Pulled:
        try:
            pulled = await git.pull()
        except PagiError as error:
            raise hive.Refused(_told(error)) from error
        return hive.Pulled(pulled.commit, [str(cid) for cid in pulled.revisions], pulled.problems)

    async def push() -> hive.Pushed | None:
        try:
            pushed = await git.push()
        except PagiError as error:
            raise hive.Refused(_told(error)) from error
        return None if pushed is None else hive.Pushed(pushed.branch, [str(cid) for cid in pushed.revisions])

    return hive.plugin(pull, push)


def _received(row: InboxRow, trust: TrustList) -> Received:
    return Received(
        id=row.message_id,
        sender=row.from_did,
        type=row.type,
        body=parse_message(row.plaintext).body,
        received=rfc3339(row.received_ms),
        named=row.from_did is not None and trust.allows(row.from_did),
    )


def _told(error: PagiError) -> str:
    return f"{error}. {error.hint}"
