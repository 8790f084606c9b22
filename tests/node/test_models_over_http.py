"""A real twin with the bundled model: OpenAI's own client against it, and another twin that has it as a provider."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.node.processes import Machine, Process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.model]

HELLO: Any = [{"role": "user", "content": "Name the colour of grass in one word."}]
STORY: Any = [{"role": "user", "content": "Tell a long story about the sea and its ships."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory, bundled_model: Any) -> Iterator[tuple[Machine, Process]]:
    """A twin whose model is loaded."""
    machine = Machine(tmp_path_factory.mktemp("twins"))
    twin = machine.twin("ada", "--model", str(bundled_model))
    twin.start()
    wait_until(lambda: True if local_of(twin)["state"] == "ready" else None, "the model")
    yield machine, twin
    machine.discard_all()


def local_of(twin: Process) -> dict[str, Any]:
    found: dict[str, Any] = twin.client.get("providers")["items"][-1]
    return found


def client_of(twin: Process) -> openai.OpenAI:
    key = (twin.home / "api-token").read_text().strip()
    return openai.OpenAI(base_url=f"{twin.first_line['api']}/v1", api_key=key, max_retries=0, timeout=60)


def test_the_official_client_works_against_a_twin(thinking: tuple[Machine, Process]) -> None:
    _, twin = thinking
    with client_of(twin) as client:
        model = str(local_of(twin)["model"])
        assert model in [one.id for one in client.models.list()]
        whole = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8, temperature=0)
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert whole.usage.prompt_tokens > 8
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=HELLO,
                max_tokens=8,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said == whole.choices[0].message.content
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        schema = {"type": "object", "properties": {"colour": {"enum": ["green", "red"]}}, "required": ["colour"]}
        formed = client.chat.completions.create(
            model=model,
            messages=HELLO,
            max_tokens=40,
            temperature=0,
            response_format={"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}},
        )
        assert json.loads(formed.choices[0].message.content or "")["colour"] in ("green", "red")
        vectors = client.embeddings.create(model="default", input=["the sea", "a ship", "tax law"])
        assert len({len(item.embedding) for item in vectors.data}) == 1
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 60_000}])
        assert caught.value.code == "context_length_exceeded"


def test_the_official_client_has_tools_called_whole_and_streamed(thinking: tuple[Machine, Process]) -> None:
    _, twin = thinking
    with client_of(twin) as client:
        asked: Any = {
            "model": local_of(twin)["model"],
            "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
            "tools": [WEATHER],
            "tool_choice": "required",
            "max_tokens": 80,
            "temperature": 0,
        }
        whole = client.chat.completions.create(**asked)
        assert whole.choices[0].finish_reason == "tool_calls"
        (call,) = whole.choices[0].message.tool_calls or ()
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert "city" in json.loads(call.function.arguments)
        with client.chat.completions.stream(**asked) as stream:
            final = stream.get_final_completion()
        (streamed,) = final.choices[0].message.tool_calls or ()
        assert streamed.function.arguments == call.function.arguments
        answered = client.chat.completions.create(
            **{
                **asked,
                "tool_choice": "none",
                "max_tokens": 20,
                "messages": [
                    *asked["messages"],
                    whole.choices[0].message.to_dict(),
                    {"role": "tool", "tool_call_id": call.id, "content": "Rain, 12 degrees."},
                ],
            }
        )
        assert answered.choices[0].message.content


def test_a_client_that_goes_away_leaves_the_model_idle(thinking: tuple[Machine, Process]) -> None:
    _, twin = thinking
    with client_of(twin) as client:
        model = str(local_of(twin)["model"])
        for _ in range(6):  # more than there are places in the model
            stream = client.chat.completions.create(model=model, messages=STORY, max_tokens=2000, stream=True)
            next(iter(stream))
            stream.close()
        short = client.chat.completions.create(model=model, messages=HELLO, max_tokens=4)
        assert short.choices[0].message.content

        def under_way() -> bool | None:
            return True if twin.client.get("budget")["scopes"][0]["calls"] == 0 else None

        wait_until(under_way, "the model is idle")
        used = twin.client.get("budget", "usage")["items"][0]
        assert used["completion_tokens"] < 4000, "what was left did not run to its end"


def test_chats_in_parallel_are_all_answered(thinking: tuple[Machine, Process]) -> None:
    _, twin = thinking
    answers: list[str | None] = []

    def chat(number: int) -> None:
        with client_of(twin) as client:
            turns: Any = [{"role": "user", "content": f"Say the number {number}."}]
            answer = client.chat.completions.create(model=str(local_of(twin)["model"]), messages=turns, max_tokens=6)
            answers.append(answer.choices[0].message.content)

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 6
    assert all(answers)


def test_a_twin_answers_with_the_model_of_another(thinking: tuple[Machine, Process]) -> None:
    """The second twin has no model of its own; the first is its provider, by the same interface."""
    machine, ada = thinking
    bela = machine.twin("bela")
    bela.start()
    key = (ada.home / "api-token").read_text().strip()
    model = str(local_of(ada)["model"])
    settings = {"base_url": f"{ada.first_line['api']}/v1", "model": model, "sees_private": True}
    bela.client.post("providers", body={"name": "ada", **settings, "key": key})
    tested = bela.client.post("providers", "ada", "test")
    assert tested["ok"], tested
    with client_of(bela) as client:
        answer = client.chat.completions.create(model="default", messages=HELLO, max_tokens=8, temperature=0)
        assert answer.model == model
        pieces = list(client.chat.completions.create(model=f"ada/{model}", messages=HELLO, max_tokens=8, stream=True))
        assert len(pieces) > 3
    used = {row["provider"]: row for row in bela.client.get("budget", "usage")["items"]}
    assert (used["ada"]["calls"], used["ada"]["failed"]) == (3, 0)
    bela.kill()
    bela.start()
    listed = bela.client.get("providers")["items"]
    assert [(one["name"], one["has_key"], one["state"]) for one in listed] == [
        ("ada", True, "ready"),
        ("local", False, "absent"),
    ]
    assert bela.client.post("providers", "ada", "test")["ok"], "the key has survived the crash"
    for file in (*bela.home.glob("node.db*"), bela.log):
        assert key.encode() not in file.read_bytes(), file
    bela.client.put("providers", "ada", body={**settings, "model": "another"})
    with client_of(bela) as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="default", messages=HELLO)
    assert caught.value.code == "50302"
    assert "ada: it answered 404" in caught.value.message
    bela.discard()


def test_a_goal_meets_the_budget(thinking: tuple[Machine, Process], bundled_model: Any) -> None:
    """A throttled goal ends so and says why; a request whose answer is read by a program is refused."""
    machine, _ = thinking
    cato = machine.twin("cato", "--model", str(bundled_model), config="[budget.day]\ntokens = 20\n")
    cato.start()
    wait_until(lambda: True if local_of(cato)["state"] == "ready" else None, "the model")
    cato.client.post("memory", body={"kind": "semantic", "content": "The ferry leaves at nine."})
    outcome = cato.client.post("interact", body={"goal": "When does the ferry leave?"})
    assert outcome["status"] == "throttled", outcome
    assert "20 tokens of the day" in outcome["answer"]
    with client_of(cato) as client:
        held = client.chat.completions.create(model="default", messages=HELLO)
        assert (held.model, "20 tokens of the day" in (held.choices[0].message.content or "")) == ("governor", True)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="default", messages=HELLO, tools=[WEATHER])
    cato.discard()
