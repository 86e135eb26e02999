"""Models of a chat that are no more there when its answer is to be written."""

import pytest

from tests.engine.answering.world import Scripted, World, failing
from tests.engine.driver import WAIT_S
from vdb.engine.answering.chat import stream_chat
from vdb.errors import CollectionNotFound, ModelNotFound
from vdb.protocol.chat_requests import Chat, Turn


def test_a_collection_dropped_while_its_answer_is_under_way_is_no_model_any_more(made: World) -> None:
    made.use(Scripted(failing(CollectionNotFound("no such collection"))))
    request = Chat(model="notes", messages=[Turn(role="user", content="How long do refunds take?")])
    running = stream_chat(made.services, made.driver.caller("acme"), (), request, None)
    with pytest.raises(ModelNotFound):
        running.future.result(WAIT_S)
