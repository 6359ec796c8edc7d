"""Whether the cluster's access control lists are those of the table of access."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import SecurityDisabled, for_code
from aiokafka.protocol.admin import DescribeAclsRequest

from models.findings import Finding, Verdict, fine
from streams.kafka.access import Operation, Resource, grants
from streams.kafka.connection import client_arguments
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from streams.kafka.access import Grant
    from streams.settings import Settings

    _Line = tuple[str, str, int, int]
    _List = tuple[int, str, int, Iterable[_Line]]

# Numbers of Kafka's protocol.
_ANY, _LITERAL, _PREFIXED, _ALLOW, _ALL = 1, 3, 4, 3, 2
RESOURCE_NUMBERS = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.CLUSTER: 4, Resource.TRANSACTIONAL_ID: 5}
OPERATION_NUMBERS = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
_SHOWN = 5
# Whoever is let in at all, also without a name.
_EVERYBODY = "User:*"


class Rule(NamedTuple):
    """What one principal is allowed to do with one resource; all are numbers of Kafka's protocol but the names."""

    resource: int
    name: str
    pattern: int
    operation: int


async def check_access(settings: Settings) -> Finding:
    """Compare the lists of each process's user with the table.

    Users are looked for as ``tidemark topics acls`` names them, by password and by certificate.

    Raises:
        KafkaError: The broker cannot be reached, or refuses to tell.
    """
    client = AIOKafkaClient(**client_arguments(settings.bootstrap))
    try:
        await client.bootstrap()
        request = DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY)  # type: ignore[arg-type,unused-ignore]
        answer = await client.send(client.get_random_node(), request)
    finally:
        await waited_out(client.close())
    if answer.error_code == SecurityDisabled.errno:
        found = "the cluster has no authorizer: whoever reaches it may do everything"
        return Finding("access", Verdict.WARNING, found, "set authorizer.class.name and see `tidemark topics acls`")
    if answer.error_code:
        found = f"not told: {for_code(answer.error_code).__name__}"
        to_do = "run this as the user of the tools, see `tidemark topics acls`"
        return Finding("access", Verdict.UNKNOWN, found, to_do)
    return judged_access(grants(settings), answer.resources)


def judged_access(wanted: Mapping[str, Sequence[Grant]], lists: Iterable[_List]) -> Finding:
    """Judge the lists of a cluster.

    Args:
        wanted: The table: what each process may do.
        lists: Of each resource, as Kafka's protocol tells them: its kind, its name, how the name is meant, and of each
            rule the principal, the host, the operation and whether it is allowed or denied.
    """
    given: dict[str, set[Rule]] = {}
    denied: dict[str, set[Rule]] = {}
    for kind, name, pattern, rules in lists:
        for principal, _host, operation, permission in rules:
            of_all = given if permission == _ALLOW else denied
            of_all.setdefault(principal, set()).add(Rule(kind, name, pattern, operation))
    return _judged(list(_faults(wanted, given, denied)))


def _faults(
    wanted: Mapping[str, Sequence[Grant]], given: Mapping[str, set[Rule]], denied: Mapping[str, set[Rule]]
) -> Iterator[str]:
    ours = {grant.name for allowed in wanted.values() for grant in allowed}
    for rule in sorted(rule for rule in given.get(_EVERYBODY, ()) if _covers(rule, ours)):
        yield f"{_EVERYBODY}, who is everybody, has operation {rule.operation} on {rule.name}"
    yield from _denials(wanted, denied, ours)
    for process, allowed in wanted.items():
        rules = {rule for grant in allowed for rule in _rules(grant)}
        named = [name for name in _principals(process) if name in given]
        if not named:
            yield f"tidemark-{process} has no rights"
        for principal in named:
            for rule in sorted(rules - given[principal]):
                if rule._replace(operation=_ALL) not in given[principal]:
                    yield f"{principal} lacks operation {rule.operation} on {rule.name}"
            # What is of another epoch or prefix is not ours to judge.
            more = {rule for rule in given[principal] - rules if _covers(rule, ours)}
            for rule in sorted(more):
                yield f"{principal} has operation {rule.operation} on {rule.name} and need not"


def _denials(
    wanted: Mapping[str, Sequence[Grant]], denied: Mapping[str, set[Rule]], ours: Collection[str]
) -> Iterator[str]:
    """What a user of ours is kept from by name: that goes before whatever it is given."""
    for principal in (_EVERYBODY, *(name for process in wanted for name in _principals(process))):
        for rule in sorted(rule for rule in denied.get(principal, ()) if _covers(rule, ours)):
            yield f"{principal} is denied operation {rule.operation} on {rule.name}"


def _principals(process: str) -> tuple[str, str]:
    return f"User:tidemark-{process}", f"User:CN=tidemark-{process}"


def _covers(rule: Rule, names: Collection[str]) -> bool:
    if rule.pattern == _PREFIXED:
        return any(name.startswith(rule.name) for name in names)
    return rule.name == "*" or rule.name in names


def _rules(grant: Grant) -> Iterator[Rule]:
    for operation in grant.operations:
        pattern = _PREFIXED if grant.is_prefix else _LITERAL
        yield Rule(RESOURCE_NUMBERS[grant.resource], grant.name, pattern, OPERATION_NUMBERS[operation])


def _judged(faults: Sequence[str]) -> Finding:
    if not faults:
        return fine("access", "every user has the rights of the table and no more")
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    found = "; ".join(faults[:_SHOWN]) + more
    return Finding("access", Verdict.WARNING, found, "compare with `tidemark topics acls`")
