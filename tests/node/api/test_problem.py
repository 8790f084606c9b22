"""Which causes a problem document tells."""

import pytest

from identity.errors import PagiError
from node.api.problem import problem_of
from node.content.errors import BackendUnavailable
from node.errors import GitUnreachable
from node.inference.errors import EngineMissing, ModelDamaged, ModelMissing, ModelTooLarge, ModelUnloadable
from storage.errors import StorageFailed, StorageFull


@pytest.mark.parametrize(
    "kind",
    [
        *(StorageFull, BackendUnavailable, GitUnreachable),
        *(ModelUnloadable, ModelDamaged, ModelMissing, ModelTooLarge, EngineMissing),
    ],
)
def test_what_the_owner_can_mend_is_told(kind: type[PagiError]) -> None:
    told = problem_of(kind("the quota is 2 bytes"), "trace")
    assert (told.detail, told.status) == ("the quota is 2 bytes", kind.code // 100)
    assert told.hint


def test_other_faults_of_this_machine_stay_in_its_log() -> None:
    assert "/home" not in problem_of(StorageFailed("cannot write /home/ada/node.db"), "trace").model_dump_json()
