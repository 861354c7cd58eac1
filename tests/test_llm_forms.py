"""Replies in every form that servers have been seen to give, and errors in every dress."""

import json
import random
import time

import pytest
from pydantic import BaseModel, Field
from test_llm import Text

from archive_tools.evaluation.judge_rules import Verdict as Judged
from archive_tools.llm.faults import fault_in, fault_of
from archive_tools.llm.forms import form_of, loads
from archive_tools.llm.replies import Price, read_reply, reply_of

FREE = Price(0, 0)
GOOD = '{"text": "Go past the fan."}'


class Described(BaseModel):
    """What is asked for."""

    text: str = Field(description="One sentence.")


class Verdict(BaseModel):
    score: float
    reasons: list[str]


def chat(content=None, finish="stop", **message):
    message = {"role": "assistant", "content": content, **message}
    return {"choices": [{"index": 0, "finish_reason": finish, "message": message}]}


def call(arguments):
    function = {"name": "description", "arguments": arguments}
    return [{"id": "c", "type": "function", "function": function}]


def streamed(*deltas):
    chunks = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {
        "prompt_tokens": 9, "completion_tokens": 4}})  # fmt: skip
    return "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"


def events(*chunks):
    return "".join(f"event: {c['type']}\ndata: {json.dumps(c)}\n\n" for c in chunks)


UNDERSTOOD = {
    "plain": chat(GOOD),
    "a list of typed parts": chat([
        {"type": "thinking", "thinking": [{"type": "text", "text": '{"text": "hm"}'}]},
        {"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]},
    ]),
    "a list of texts": chat([GOOD]),
    "a part with a value": chat([{"type": "output_text", "text": {"value": GOOD}}]),
    "an object": chat({"text": "Go past the fan."}),
    "one part": chat({"type": "text", "text": GOOD}),
    "filed as reasoning_content": chat(None, reasoning_content=f"Let me see. {GOOD}"),
    "filed as reasoning": chat("", reasoning=GOOD),
    "filed as details": chat("", reasoning_details=[{"type": "reasoning.text", "text": GOOD}]),
    "a tool call": chat(None, "tool_calls", tool_calls=call(GOOD)),
    "a tool call with an object": chat(None, "tool_calls", tool_calls=call(json.loads(GOOD))),
    "a function call": chat(None, function_call={"name": "f", "arguments": GOOD}),
    "parsed": chat(None, parsed=json.loads(GOOD)),
    "whole though cut off": chat(f"{GOOD} And now I shall", "length"),
    "a fence": chat(f"```json\n{GOOD}\n```"),
    "prose": chat(f"Sure! Here {{you}} are:\n{GOOD}\nAnything else?"),
    "a trailing comma": chat('{"text": "Go past the fan.",\n}'),
    "single quotes": chat("{'text': 'Go past the fan.'}"),
    "no JSON": chat("Go past the fan."),
    "tags": chat(f'<think>{{"text": "no"}}</think>\n{GOOD}'),
    "other tags": chat("[THINK]which way[/THINK]Go past the fan."),
    "channels": chat(f"<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>{GOOD}"),
    "half a surrogate pair": chat('{"text": "Go past the fan.\\ud83d"}'),
    "a control character": chat('{"text": "Go past the fan.\\u0000"}'),
    "completions": {"choices": [{"text": GOOD, "finish_reason": "stop"}]},
    "a delta": {"choices": [{"delta": {"content": GOOD}}]},
    "responses": {"output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": GOOD}]},
    ]},
    "messages": {"type": "message", "content": [{"type": "text", "text": GOOD}],
                 "stop_reason": "end_turn"},
    "tool use": {"content": [{"type": "tool_use", "name": "d", "input": json.loads(GOOD)}]},
    "candidates": {"candidates": [{"finishReason": "STOP", "content": {"parts": [
        {"text": "hm", "thought": True}, {"text": GOOD}]}}]},
    "ollama": {"message": {"role": "assistant", "content": GOOD}, "done_reason": "stop"},
    "generate": {"response": GOOD, "done": True},
    "a list": [{"generated_text": GOOD}],
    "a null error": {**chat(GOOD), "error": None},
    "comments": chat('{\n// the text:\n"text": "Go past the fan." /* so */ # or so\n}'),
    "typeset quotes": chat("{“text”: “Go past the fan.”}"),
    "bare words": chat("{text: 'Go past the fan.', sure: True,}"),
    "an apostrophe": chat("{'text': 'Go past the fan.', 'why': 'it isn\\'t far', 'n': None}"),
    "no bracket at the end": chat('Here: {"text": "Go past the fan."'),
    "JSON in JSON": chat(json.dumps(GOOD)),
    "hard blanks": chat('{\u00a0"text":\u00a0"Go past the fan."}'),
    "entities": chat("{&quot;text&quot;: &quot;Go past the fan.&quot;}"),
    "quotes in a string": chat('{"text": "Go past the fan.", "why": "the "fan" is near"}'),
    "quotes and a comma": chat('{"why": "near "it", they say", "text": "Go past the fan."}'),
    "three quotes": chat('{"text": """Go past the fan."""}'),
    "three other quotes": chat("{'text': '''Go past the fan.'''}"),
    "a capital": chat('{"Text": "Go past the fan."}'),
    "an object in it": chat('{"answer": {"text": "Go past the fan."}}'),
    "a tag": chat("<text>Go past the fan.</text>"),
    "a label": chat("**Text:** “Go past the fan.”"),
    "one tool call": chat(None, tool_calls={"function": {"arguments": json.dumps(GOOD)}}),
    "speech": chat(None, audio={"transcript": GOOD}),
    "a later choice": {"choices": [{"message": {"content": ""}}, {"message": {"content": GOOD}}]},
    "numbered choices": {"choices": {"0": {"message": {"content": GOOD}}}},
    "a wrapper": {"success": True, "result": {"response": GOOD}},
    "two wrappers": {"status": "ok", "data": {"body": chat(GOOD)}},
    "converse": {"output": {"message": {"content": [{"text": GOOD}]}}, "stopReason": "end_turn"},
    "a template's marks": chat("<|im_start|>assistant\nGo past the fan.<|im_end|></s>"),
    "channels and a mark": chat("<|channel|>final<|message|>Go past the fan.<|return|>"),
    "channels without marks": chat(f"assistantfinal{GOOD}"),
    "answer tags": chat("<answer>Go past the fan.</answer>"),
    "an introduction": chat("Here is the description:\n\n**Go past the fan.**"),
    "a list of one": chat('["Go past the fan."]'),
    "JSON in JSON in JSON": chat(json.dumps(json.dumps(GOOD))),
    "escaped once too often": chat(GOOD.replace('"', '\\"')),
    "a comma too few": chat('{"text": "Go past the fan." "why": "it is near"}'),
    "wide brackets": chat('｛"text"："Go past the fan."｝'),
    "arguments in text": chat(json.dumps({"name": "d", "arguments": GOOD})),
    "a wrapped text": {"statusCode": 200, "body": json.dumps(chat(GOOD))},
    "a printed completion": chat(f"ChatCompletion(id='c', choices=[Choice(finish_reason='stop', "
        f"message=ChatCompletionMessage(content='{GOOD}', refusal=None, role='assistant'))])"),
    "a printed block": chat("[TextBlock(citations=None, text='Go past the fan.', type='text')]"),
    "a printed message": chat("content='Go past the fan.' additional_kwargs={} id='r'"),
    "a printed answer": chat("Description(text='Go past the fan.')"),
    "an ordered dict": chat("OrderedDict([('text', 'Go past the fan.')])"),
    "Python's list of messages": chat("[{'role': 'assistant', 'content': 'Go past the fan.'}]"),
    "Python's prefixes": chat("return {'text': f'Go past ' + r'the fan.'}"),
    "strings side by side": chat('{"text": ("Go past "\n "the fan.")}'),
    "YAML": chat("```yaml\ntext: Go past the fan.\n```\nHope it helps!"),
    "YAML in a document": chat("---\ntext: >-\n  Go past\n  the fan.\n"),
    "TOML": chat('text = "Go past the fan."'),
    "lines of JSON": chat(f'{{"thought": "hm"}}\n{GOOD}\n{{"done": true}}'),
    "a draft before": chat(f'{{"text": "Stop."}}\nBetter:\n{GOOD}'),
    "a placeholder behind": chat(f'{GOOD}\nas asked: {{"text": "..."}}'),
    "sentences": chat('{"text": ["Go past", "the fan."]}'),
    "a text in an object": chat('{"text": {"value": "Go past the fan."}}'),
    "another name": chat('{"description": "Go past the fan."}'),
    "a list's first": chat("1. Go past the fan."),
    "a heading": chat("### Description\n\n> Go past the fan."),
    "XML": chat('<?xml version="1.0"?>\n<text lang="en"><![CDATA[Go past the fan.]]></text>'),
    "parameters": chat('<invoke name="d"><parameter name="text">Go past the fan.</parameter>'),
    "a box": chat(r"\boxed{\text{Go past the fan.}}"),
    "arrows": chat('{:text => "Go past the fan.", "why" => \'near\'}'),
    "other marks": chat("{‘text’ = «Go past the fan.»; why: `near`}"),
    "blanks of no width": chat('{\u200b"text":\ufeff "Go past the fan."}'),
    "breaks escaped": chat('{\\n  "text": "Go past the fan."\\n}'),
    "no bracket": chat('"text": "Go past the fan."}'),
    "typeset quotes in a fence": chat("```json\n{“text”: “Go past the fan.”}\n```"),
    "comments in a fence": chat('```json\n{"text": "Go past the fan.", // so: brief\n}\n```'),
    "an answer before it": chat('{"answer": "yes", "result": {"text": "Go past the fan."}}'),
    "a schema before it": chat(json.dumps(Text.model_json_schema()) + GOOD),
    "a described form": chat('{"description": "d", "properties": {"text": "Go past the fan."}}'),
    "words close together": chat('{"sure":True, // so, or so: c\n "text": "Go past the fan."}'),
    "a form of tomorrow": {"answer_v9": {"body": GOOD}, "messages": [{"content": "say {}"}]},
}  # fmt: skip
BODIES = {
    "a stream": streamed({"role": "assistant"}, {"content": GOOD[:7]}, {"content": GOOD[7:]}),
    "blanks before": "\n\n  " + json.dumps(chat(GOOD)),
    "a byte order mark": "\ufeff" + json.dumps(chat(GOOD)),
    "a stream of tool calls": streamed(
        {"tool_calls": call(GOOD[:7])}, {"tool_calls": call(GOOD[7:])}
    ),
    "a stream of parts": streamed({"content": [{"type": "text", "text": GOOD}]}),
    "a stream, CR": streamed({"content": GOOD[:7]}, {"content": GOOD[7:]}).replace("\n", "\r"),
    "a stream of messages": "\n".join(
        json.dumps({"message": {"content": part}, "done": not part})
        for part in (GOOD[:7], GOOD[7:], "")
    ),
    "a stream of candidates": "".join(
        f"data: {json.dumps({'candidates': [{'content': {'parts': [{'text': part}]}}]})}\r\n\r\n"
        for part in (GOOD[:7], GOOD[7:])
    ),
    "a guard before": ")]}',\n" + json.dumps(chat(GOOD)),
    "comments before": ": waiting\n\n: waiting\n\n" + json.dumps(chat(GOOD)),
    "JSON in a text": json.dumps(json.dumps(chat(GOOD))),
    "a stream of responses": events(
        {"type": "response.reasoning_text.delta", "delta": '{"text": "hm"}'},
        *({"type": "response.output_text.delta", "delta": part} for part in (GOOD[:7], GOOD[7:])),
        {"type": "response.output_text.done", "text": GOOD},
        {"type": "response.completed"},
    ),
    "a stream of a whole response": events(
        {"type": "response.created", "response": {"output": []}},
        {"type": "response.output_text.delta", "delta": GOOD[:7]},
        {"type": "response.completed", "response": UNDERSTOOD["responses"]},
    ),
    "a stream of arguments": events(
        {"type": "response.function_call_arguments.delta", "delta": GOOD},
        {"type": "response.completed"},
    ),
    "a dict of Python": repr({**chat(GOOD), "error": None}),
    "bytes of Python": repr(json.dumps(chat(GOOD)).encode()),
    "cut after the content": json.dumps(chat(GOOD))[:-4],
}


@pytest.mark.parametrize("form", [*UNDERSTOOD, *BODIES])
def test_an_answer_is_found_wherever_it_was_filed(form):
    raw = BODIES.get(form) or json.dumps(UNDERSTOOD[form])
    assert fault_in(raw) is None
    value, problem = read_reply(reply_of(raw, "prompt", Price(0, 0)), Text)
    assert problem == "" and value == Text(text="Go past the fan.")
    value.text.encode()


@pytest.mark.parametrize("dress", [
    "score: 0.8\nreached: [fan]\nmissed: []\nextra: []\nin_order: true\nreasons: It is well.",
    "**Score:** 0.8\n**Reached:**\n- fan\n**Missed:** none\n**Extra:** none\n**In_order:** yes\n"
    "**Reasons:** It is well.",
    "Verdict(score=0.8, reached=['fan'], missed=[], extra=[], in_order=True, "
    "reasons='It is well.')",
])  # fmt: skip
def test_a_verdict_is_read_in_other_languages(dress):
    found, problem = read_reply(reply_of(json.dumps(chat(dress)), "", FREE), Judged)
    assert problem == "" and found is not None and found.reached == ["fan"] and found.in_order
    assert (found.score, found.missed, found.reasons) == (0.8, [], "It is well.")


@pytest.mark.parametrize("deep", [
    "k: [&a0 [1,1,1,1,1,1,1,1,1], " + ", ".join(f"&a{k + 1} [{', '.join([f'*a{k}'] * 9)}]"
                                                for k in range(8)) + "]",
    "-" * 19_000 + "1", "1" + "+1" * 9000, "f(" * 9000, "- " * 9000, "? " * 9000 + "a: b",
    "text: " + "[" * 9000, "a: &x [1]\nb: [*x, *x]", "text: !!python/object/apply:os.system [id]",
    "text: 2024-99-99", "a: b\n" * 4000, "'a' " * 4000, "__import__('os').system('id')",
])  # fmt: skip
def test_python_and_yaml_are_read_and_never_run(deep):
    begun = time.monotonic()
    value, problem = read_reply(reply_of(json.dumps(chat(deep)), "", FREE), Judged)
    assert value is None and problem and time.monotonic() - begun < 5


@pytest.mark.parametrize(("words", "text"), [
    ("First: go past the fan.", "First: go past the fan."),
    ("go(past, the=fan)", "go(past, the=fan)"),
    ("- go: on", "go: on"),
    ("Go past <the fan> and stop.", "Go past <the fan> and stop."),
    ("text: Go past the fan, then to room #3 and stop at box #4.",
     "Go past the fan, then to room #3 and stop at box #4."),
    ("Description: Start at the desk.\nThen: go to the fan.",
     "Start at the desk.\nThen: go to the fan."),
    ("**Drive past the desk, then stop at the bed**\n\nIt is short.",
     "Drive past the desk, then stop at the bed**\n\nIt is short."),
    ("text: Go past the fan __slowly__ # and stop.", "Go past the fan __slowly__ # and stop."),
])  # fmt: skip
def test_plain_words_that_look_like_something_else_stay_a_text(words, text):
    value, problem = read_reply(reply_of(json.dumps(chat(words)), "", FREE), Text)
    assert problem == "" and value is not None and value.text == text


@pytest.mark.parametrize("schema", [Text, Described])
def test_a_schema_said_again_is_no_answer(schema):
    echo = json.dumps(chat(json.dumps(schema.model_json_schema())))
    value, problem = read_reply(reply_of(echo, "", FREE), schema)
    assert value is None and "text" in problem


UNUSABLE = {
    "before any text": chat("", "length", reasoning_content=f"Hm {GOOD}"),
    "cut off; be brief": chat('{"text": "Go pa', "length"),
    "nothing but reasoning": chat(None, reasoning_content="hm"),
    "held back by the server's filter": chat(None, "content_filter"),
    "the model declined: I cannot help": chat(None, refusal="I cannot help"),
    "was empty": chat("  "),
    "held back by": {"promptFeedback": {"blockReason": "SAFETY"}},
    "spent --max-tokens on its thoughts": {"choices": [{
        "finish_reason": None, "native_finish_reason": "MAX_TOKENS", "message": {"content": ""}}]},
    "the reply was cut off": {
        "output": {"message": {"content": [{"text": '{"text": "Go'}]}}, "stopReason": "max_tokens"},
    "JSON object": chat('{"text": "Go pa'),
    "form that is not known": {"answer_v9": {"body": "Go."}, "id": 3},
    "the reply has a form": {"choices": [{"texts": ["Go."]}]},
    "not the JSON asked for: text": chat('{"answer": 3}'),
}  # fmt: skip


@pytest.mark.parametrize("says", UNUSABLE)
def test_what_cannot_be_used_says_why(says):
    raw = json.dumps(UNUSABLE[says])
    assert fault_in(raw) is None
    value, problem = read_reply(reply_of(raw, "prompt", Price(0, 0)), Text)
    assert value is None and says in problem


@pytest.mark.parametrize("marks", ['{"score": NaN, "reasons": []}', '{"score": 1e999}', "{" * 9000])
def test_hostile_json_is_a_problem_in_time(marks):
    reply = reply_of(json.dumps(chat(marks)), "prompt", Price(0, 0))
    assert read_reply(reply, Verdict)[1] or read_reply(reply, Verdict)[0].score != 1


@pytest.mark.parametrize("odd", [
    {"score": "80%"}, {"score": "8/10"}, {"missed": None}, {"missed": "none"}, {"reached": "fan"},
    {"reasons": ["It is", "well."]}, {"reasons": None}, {"in_order": "yes"},
])  # fmt: skip
def test_a_verdict_is_read_where_its_values_are_of_other_kinds(odd):
    fine = {"score": 0.8, "reached": ["fan"], "missed": [], "extra": [], "in_order": True,
            "reasons": "It is well."}  # fmt: skip
    found, problem = read_reply(
        reply_of(json.dumps(chat(json.dumps(fine | odd))), "", FREE), Judged
    )
    assert problem == "" and found is not None and found.score == 0.8
    assert found.reached == ["fan"] and found.missed == [] and found.reasons in ("It is well.", "")
    for wrong in ({"score": 8}, {"score": "80"}, {"reasons": 3}, {"reached": [{}]}, {"missed": 1}):
        wrong = json.dumps(chat(json.dumps(fine | wrong)))
        assert "not the JSON asked for" in read_reply(reply_of(wrong, "", FREE), Judged)[1]


def test_a_stream_that_just_ends_is_cut_off():
    raw = (
        streamed({"content": "Go past"})
        .split("data: [DONE]")[0]
        .split('data: {"choices": [{"delta": {}')[0]
    )
    assert "cut off" in read_reply(reply_of(raw, "", FREE), Text)[1]


def test_tokens_are_read_in_every_dialect_and_bounded():
    usages = (
        {"usage": {"prompt_tokens": 7, "completion_tokens": 3}},
        {"usage": {"input_tokens": 7, "output_tokens": 3}},
        {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}},
        {"prompt_eval_count": 7, "eval_count": 3},
    )
    for usage in usages:
        assert form_of({**chat(GOOD), **usage}).tokens == (7, 3)
    assert form_of(
        {**chat(GOOD), "usage": {"prompt_tokens": "7", "completion_tokens": 3.0}}
    ).tokens == (7, 3)
    for odd in (-1, 10**30, "7.5", True, None, [], 0):
        assert form_of({**chat(GOOD), "usage": {"prompt_tokens": odd}}).tokens[0] == 0


def said(message, **more):
    return json.dumps({"error": {"message": message, **more}})


PARAMETERS = {
    "limit": [
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
              "'max_completion_tokens' instead."),
        (422, "max_completion_tokens: Extra inputs are not permitted"),
        (400, "This model does not support MaxTokens, please use MaxCompletionTokens"),
        (422, "body.max_tokens: Field required"),
    ],
    "temperature": [
        (400, "Unsupported value: 'temperature' does not support 1.0 with this model. Only the "
              "default (1) value is supported."),
        (404, "temperature is not supported by any endpoint"),
        (400, "`temperature` may only be set to 1 when thinking is enabled."),
        (400, "`temperature` and `top_p` cannot both be specified"),
    ],
    "mode": [
        (400, "This response_format type is unavailable now"),
        (404, "No endpoints found that support the requested response_format"),
        (400, "'response_format.type' must be 'json_schema' or 'text'"),
        (422, "Unknown field json_schema"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_refused_parameter_is_known_by_its_name(name):
    for status, message in PARAMETERS[name]:
        for body in (
            said(message), json.dumps({"detail": message}), json.dumps({"error": message}),
            json.dumps({"message": message}), message,
        ):  # fmt: skip
            fault = fault_of(status, body)
            assert fault.kind == "refused" and list(fault.without) == [name], (status, body)
    assert not fault_of(500, said(PARAMETERS[name][0][1])).without  # never from 5xx


FAULTS = [
    (400, "'max_tokens' or 'max_completion_tokens' is too large: 40000. This model's maximum "
          "context length is 32768 tokens", "refused", "give another --max-tokens"),
    (400, "temperature must be between 0 and 1", "refused", "give another --temperature"),
    (400, "The model `x` does not exist", "stop", "does not exist"),
    (400, "Your credit balance is too low", "stop", "no credit left"),
    (400, "Budget has been exceeded! Current cost: 10.1", "stop", "no credit left"),
    (403, "Key limit exceeded (total limit)", "stop", "no credit left"),
    (403, "Project does not have access to model gpt-4o", "stop", "not have access"),
    (405, "Method Not Allowed", "denied", "405"),
    (400, "API key not valid. Please pass a valid API key.", "stop", "key was not accepted"),
    (400, "Invalid prompt", "refused", "Invalid prompt"),
    (401, "Incorrect key", "stop", "key was not accepted"),
    (402, "Pay", "stop", "no credit left"),
    (403, "Country, region, or territory not supported", "denied", "territory not supported"),
    (403, "Your input was flagged by moderation", "refused", "flagged"),
    (403, "Invalid API key", "stop", "key was not accepted"),
    (404, "Not Found", "denied", "404 Not Found"),
    (413, "Too large", "refused", "413"),
    (429, "Rate limit reached. Please try again in 20s.", "full", "Rate limit"),
    (429, "insufficient_quota", "stop", "no credit left"),
    (500, "model failed to load: out of memory", "passing", "out of memory"),
    (503, "Loading model", "loading", "Loading model"),
    (503, "model failed to load", "passing", "failed to load"),
    (529, "Overloaded", "full", "Overloaded"),
    (503, "The model is overloaded. Please try again later.", "full", "overloaded"),
    (502, "Bad Gateway", "loading", "Bad Gateway"),
    (504, "Gateway Time-out", "slow", "Gateway Time-out"),
    (499, "context canceled", "passing", "canceled"),
    (500, "CUDA out of memory. GPU 0 has a total capacity of 23.5 GiB", "passing", "GiB"),
    (500, "unexpected server status: llm server loading model", "loading", "loading"),
    (429, "Request too large for m on tokens per min (TPM): Limit 30000, Requested 45000.",
     "refused", "Requested 45000"),
    (403, "Quota exceeded for quota metric 'x' and limit 'per minute'", "full", "per minute"),
    (400, "x is not a valid model ID", "stop", "not a valid model"),
    (400, "LLM Provider NOT provided. You passed model=foo", "stop", "model=foo"),
    (400, "The plain HTTP request was sent to HTTPS port", "stop", "write https://"),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)",
     "refused", "the prompt alone is too long"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "kind", "says"), FAULTS)
def test_an_error_has_its_class_and_the_servers_words(status, message, kind, says):
    fault = fault_of(status, said(message))
    assert fault.kind == kind and says in fault.words
    page = f"<html><head><title>{message}</title></head><body>x</body></html>"
    assert says in fault_of(status, page).words
    # The same told in the body of a reply with status 200.
    told = fault_in(said(message, code=status))
    assert told is not None and told.kind == kind and says in told.words


def test_errors_with_status_200_in_other_dress():
    for body, kind in (
        ({"choices": [{"error": {"code": 502, "message": "Provider returned error"},
                       "finish_reason": "error", "message": {"content": ""}}]}, "passing"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "stop"),
        ({"detail": "model is overloaded, try again"}, "full"),
        ([{"error": {"code": 400, "message": "API key not valid.", "status": "x"}}], "stop"),
        ({"error": "Rate limit exceeded"}, "full"),
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "full"),
        ({"code": "InvalidApiKey", "message": "Invalid API-key provided."}, "stop"),
        ({"object": "error", "message": "The model `m` does not exist.", "code": 404}, "stop"),
        ({"message": "Internal server error"}, "passing"),
        ({}, "passing"), ([], "passing"), (None, "passing"), ("hm", "passing"),
    ):  # fmt: skip
        fault = fault_in(json.dumps(body))
        assert fault is not None and fault.kind == kind, body
    assert fault_in("").kind == fault_in(json.dumps(chat("x"))[:20]).kind == "passing"
    login = fault_in("<!doctype html><title>Log in</title>")
    assert login.kind == "denied" and "Log in" in login.words and login.raw


def test_how_long_to_wait_is_read_from_headers_and_words():
    assert fault_of(429, "", {"retry-after": "7"}).wait == 7
    assert fault_of(429, "", {"retry-after-ms": "1500"}).wait == 1.5
    assert fault_of(429, "", {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}).wait == 0
    assert fault_of(429, said("Please try again in 1m2.5s.")).wait == 62.5
    assert fault_of(429, said("Please try again in 857ms.")).wait == 0.857
    assert fault_of(429, said("Please retry after 26 seconds.")).wait == 26
    assert fault_of(429, said("try again in 1h2m3s")).wait == 3723
    assert fault_of(429, said("Try again in 6 minutes and 1 second")).wait == 361
    assert fault_of(429, '{"error": {"details": [{"retryDelay": "38s"}]}}').wait == 38
    assert fault_of(503, '{"error": "loading", "estimated_time": 20.0}').wait == 20
    limits = {"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "9",
              "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}  # fmt: skip
    assert fault_of(429, "", limits).wait == 360
    assert fault_of(500, "", limits).wait is None
    assert fault_of(429, "", {"retry-after-ms": "250", "retry-after": "1"}).wait == 0.25
    later = time.time() + 60
    for moment in (f"{later:.0f}", f"{1000 * later:.0f}", "2999-01-01T00:00:00Z"):
        assert fault_of(429, "", {"x-ratelimit-reset": moment}).wait > 55
    for odd in ("nan", "soon", "-5", ""):
        assert fault_of(429, "", {"retry-after": odd}).wait in (None, 0)
    assert loads('{"a": ' * 5000) is None


def test_damaged_replies_give_an_answer_or_a_reason_in_time():
    """Bytes changed, cut and doubled at random: never an exception, never slow."""
    rng = random.Random(0)
    bodies = [json.dumps(form) for form in UNDERSTOOD.values()] + list(BODIES.values())
    bodies += [said(message, code=status) for status, message, *_ in FAULTS]
    for _ in range(3000):
        data = bytearray(rng.choice(bodies).encode())
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            change = rng.randrange(4)
            if change == 0:
                data[at] = rng.randrange(256)
            elif change == 1:
                del data[at : at + rng.randint(1, 20)]
            elif change == 2:
                data[at:at] = data[at : at + 30] * rng.randint(1, 3)
            else:
                data[at:at] = rng.choice([b"\\ud83d", b"null", b"[", b"{", b'"', b"1e999", b"\\"])
            data = data or bytearray(b" ")
        raw = data.decode("utf-8", "replace")
        began = time.monotonic()
        fault_of(500, raw)
        if fault_in(raw) is None:
            reply = reply_of(raw, "prompt", Price(1, 1))
            for schema in (Text, Verdict):
                value, problem = read_reply(reply, schema)
                assert (value is None) == bool(problem)
                (value.model_dump_json() if value else problem + str(reply.content)).encode()
        assert time.monotonic() - began < 2
