"""Responses that a host changes: they are its own, and no other response changes."""

from __future__ import annotations

from flask import Response, request

from tests.conftest import OK, PUBLIC, MakeApp


def test_a_host_may_make_its_answers_conditional(make_app: MakeApp) -> None:
    app = make_app()

    @app.after_request
    def conditional(response: Response) -> Response:
        response.add_etag()
        response.make_conditional(request)
        return response

    client = app.test_client()
    first = client.get(PUBLIC)
    second = client.get(PUBLIC, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, first.data) == (200, OK)
    assert (second.status_code, second.data) == (304, b"")
    assert "Content-Length" not in second.headers


def test_what_a_host_changes_in_an_answer_changes_no_other(make_app: MakeApp) -> None:
    app = make_app()
    marks = iter("ab")

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers.add("X-Mark", next(marks))
        response.set_data(response.get_data() + b" ")
        return response

    client = app.test_client()
    answers = [client.get(PUBLIC) for _ in range(2)]

    assert [answer.headers.getlist("X-Mark") for answer in answers] == [["a"], ["b"]]
    assert [answer.data for answer in answers] == [OK + b" "] * 2
    assert {answer.headers["Content-Length"] for answer in answers} == {str(len(OK) + 1)}


def test_a_host_may_send_another_body_without_its_length(make_app: MakeApp) -> None:
    app = make_app()

    @app.after_request
    def shorten(response: Response) -> Response:
        response.response = [b"{}"]
        del response.headers["Content-Length"]
        return response

    response = app.test_client().get(PUBLIC)

    assert response.data == b"{}"
    assert response.headers["Content-Length"] == "2"


def test_what_a_host_wants_called_after_an_answer_is_called(make_app: MakeApp) -> None:
    app = make_app()
    closed: list[str] = []

    @app.after_request
    def note(response: Response) -> Response:
        response.call_on_close(lambda: closed.append(request.path))
        return response

    with app.test_client() as client:
        response = client.get(PUBLIC)
        assert response.data == OK
        response.close()

    assert closed == [PUBLIC]
