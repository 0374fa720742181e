"""As much of the protocols of openai, anthropic and qdrant as their SDKs' tests need, for a `Site` on loopback."""

import json

from keeppool.testing import Answer

JSON = (("Content-Type", "application/json"),)
EVENTS = (("Content-Type", "text/event-stream"),)


def as_json(body, status=200, *more):
    return Answer(status=status, body=json.dumps(body).encode(), headers=(*JSON, *more))


def as_events(events, *, pause_s=0.0):
    """Answer as server-sent events: a name and what becomes JSON, or None and the text as it is."""
    lines = [
        f"{f'event: {name}' + chr(10) if name else ''}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        for name, data in events
    ]
    return Answer(body=tuple(line.encode() for line in lines), headers=EVENTS, framing="chunked", pause_s=pause_s)


def chat(text, model="small"):
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}


def chat_chunks(words, model="small"):
    for word in words:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield None, {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}
    yield None, "[DONE]"


def response(text):
    """An answer of openai's `responses`."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": content}]
    return {
        "id": "r",
        "object": "response",
        "created_at": 0,
        "model": "small",
        "status": "completed",
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


def openai(request):
    """Answer as openai's API; what a question says chooses what happens."""
    if request.path == "/v1/files":
        return as_json(
            {
                "id": "f",
                "object": "file",
                "bytes": len(request.body),
                "created_at": 0,
                "filename": "n",
                "purpose": "batch",
                "status": "processed",
            }
        )
    asked = json.loads(request.body)
    if request.path == "/v1/responses":
        if asked.get("stream"):
            delta = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0}
            deltas = [
                ("response.output_text.delta", {**delta, "delta": word, "sequence_number": number, "logprobs": []})
                for number, word in enumerate(("one", " two"))
            ]
            done = {"type": "response.completed", "response": response("one two"), "sequence_number": 2}
            return as_events([*deltas, ("response.completed", done)])
        return as_json(response(asked["input"].upper()))
    text = asked["messages"][-1]["content"]
    if asked.get("stream"):
        return as_events(chat_chunks(text.split(" ")), pause_s=0.001)
    return as_json(chat(text.upper()))


def message(text):
    """An answer of anthropic's `messages`."""
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "small",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def anthropic(request):
    asked = json.loads(request.body)
    text = asked["messages"][-1]["content"]
    if not asked.get("stream"):
        return as_json(message(text.upper()))
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in text.split(" ")
    ]
    events = [
        {"type": "message_start", "message": message("") | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    return as_events([(event["type"], event) for event in events])
