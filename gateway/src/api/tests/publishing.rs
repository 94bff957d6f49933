//! Publishing by both doors.

use super::*;

#[tokio::test]
async fn a_durable_room_answers_where_the_message_is() {
    let api = Api::new();
    let first = api
        .call("publish", json!({ "channel": "kept:room", "data": 1 }))
        .await;
    assert_eq!(first["result"]["offset"], 1, "{first}");
    let second = api
        .post(MESSAGES, None, "{\"data\":2,\"tags\":{\"a\":\"b\"}}")
        .await;
    assert_eq!(second.status, 201);
    assert_eq!(
        second.json(),
        json!({ "offset": 2, "epoch": first["result"]["epoch"] })
    );
    assert_eq!(second.headers["content-type"], "application/json");
}

#[tokio::test]
async fn an_ephemeral_room_answers_that_it_was_sent() {
    let api = Api::new();
    let request = json!({ "channel": "passing:room", "data": 1, "idempotency_key": "k" });
    assert_eq!(api.call("publish", request).await, json!({ "result": {} }));
    let answer = api
        .post("/v1/rooms/passing:room/messages", Some("k"), "{\"data\":1}")
        .await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({})));
}

#[tokio::test]
async fn a_repeat_answers_the_first_result_at_either_door() {
    let api = Api::new();
    let first = api.post(MESSAGES, Some("k 1"), "{\"data\":1}").await;
    assert_eq!(first.status, 201);
    let repeated = api.post(MESSAGES, Some("k 1"), "{\"data\": 1 }").await;
    assert_eq!((repeated.status.as_u16(), &repeated.body), (200, &first.body));
    let request = json!({ "channel": "kept:room", "data": 1, "idempotency_key": "k 1" });
    assert_eq!(
        api.call("publish", request).await,
        json!({ "result": first.json() })
    );

    let other = api.post(MESSAGES, Some("k 1"), "{\"data\":2}").await;
    assert_eq!(other.error(), (409, Some(107)), "{}", other.body);
    assert_eq!(other.headers.get("retry-after"), None);
    let request = json!({ "channel": "kept:room", "data": 2, "idempotency_key": "k 1" });
    assert_eq!(
        api.call("publish", request).await,
        json!({ "error": { "code": 107, "message": "bad request" } })
    );
    let elsewhere = api
        .post("/v1/rooms/kept:other/messages", Some("k 1"), "{\"data\":2}")
        .await;
    assert_eq!(elsewhere.status, 201, "keys are scoped to rooms");
    assert_eq!(
        api.get(MESSAGES).await.json()["messages"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_broadcast_uses_its_key_in_every_room() {
    let api = Api::new();
    let channels = json!(["kept:a", "nowhere:x", "kept:b", "passing:c", "kept:a"]);
    let request = json!({ "channels": channels, "data": { "n": 1 }, "idempotency_key": "k" });
    let first = api.call("broadcast", request.clone()).await;
    let responses = &first["result"]["responses"];
    assert_eq!(responses[0]["result"]["offset"], 1, "{first}");
    assert_eq!(
        responses[1],
        json!({ "error": { "code": 102, "message": "unknown channel" } })
    );
    assert_eq!(responses[2]["result"]["offset"], 1);
    assert_eq!(responses[3], json!({ "result": {} }));
    assert_eq!(responses[4], responses[0], "the same room again is a repeat");
    assert_eq!(api.call("broadcast", request).await, first);
}

#[tokio::test]
async fn a_key_may_have_ten_kibibytes_and_no_more() {
    let api = Api::new();
    for (len, status, code) in [(10_240, 201, None), (10_241, 400, Some(107))] {
        let answer = api.post(MESSAGES, Some(&"k".repeat(len)), "{\"data\":1}").await;
        assert_eq!(answer.error(), (status, code), "{len}");
    }
    let key = "é".repeat(5_121);
    for (method, room) in [
        ("publish", json!({ "channel": "kept:x" })),
        ("broadcast", json!({ "channels": ["kept:x"] })),
    ] {
        let mut request = json!({ "data": 1, "idempotency_key": key });
        request
            .as_object_mut()
            .unwrap()
            .extend(room.as_object().unwrap().clone());
        assert_eq!(api.call(method, request).await["error"]["code"], 107, "{method}");
    }
    for key in [json!(""), json!(null)] {
        let request = json!({ "channel": "kept:y", "data": 1, "idempotency_key": key });
        let (first, second) = (
            api.call("publish", request.clone()).await,
            api.call("publish", request).await,
        );
        assert_ne!(first, second, "no key");
    }
}

#[tokio::test]
async fn rest_refuses_what_is_wrong_and_says_what() {
    let api = Api::new();
    for (uri, body, status, code, message) in [
        (MESSAGES, "", 400, 107, "the body is wrong: it is no object"),
        (MESSAGES, "[1]", 400, 107, "the body is wrong: it is no object"),
        (
            MESSAGES,
            " {\"data\":",
            400,
            107,
            "the body is wrong: EOF while parsing",
        ),
        (MESSAGES, "{}", 400, 107, "`data` is missing"),
        (
            MESSAGES,
            "{\"data\":1,\"tag\":{}}",
            400,
            107,
            "the body is wrong: unknown field `tag`",
        ),
        (
            MESSAGES,
            "{\"data\":1,\"data\":2}",
            400,
            107,
            "the body is wrong: duplicate field `data`",
        ),
        (
            MESSAGES,
            "{\"data\":1,\"tags\":{\"a\":1}}",
            400,
            107,
            "the body is wrong: invalid type",
        ),
        (
            MESSAGES,
            "{\"data\":1}}",
            400,
            107,
            "the body is wrong: trailing characters",
        ),
        (
            "/v1/rooms/nowhere:x/messages",
            "{\"data\":1}",
            404,
            102,
            "unknown channel",
        ),
        ("/v1/rooms/%D0%BA/messages", "{\"data\":1}", 400, 107, "room: "),
        ("/v1/rooms/%FF/messages", "{\"data\":1}", 400, 107, "Invalid URL"),
        (
            "/v1/rooms//messages",
            "{\"data\":1}",
            400,
            107,
            "room: the name is empty",
        ),
        (
            "/v1/rooms/kept:a/b/messages",
            "{\"data\":1}",
            404,
            104,
            "there is nothing at this path",
        ),
    ] {
        let answer = api.post(uri, None, body).await;
        assert_eq!(
            answer.error(),
            (status, Some(code)),
            "{uri} {body}: {}",
            answer.body
        );
        let error = answer.json();
        let found = error["error"]["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{uri} {body}: {found}");
        assert_eq!(answer.headers.get("retry-after"), None);
    }
    for keys in [&[""][..], &["a", "b"], &["\u{ff}"]] {
        let mut request = with_key("POST", MESSAGES);
        for key in keys {
            let key = if key.is_ascii() { key.as_bytes() } else { b"\xff" };
            request = request.header("Idempotency-Key", http::HeaderValue::from_bytes(key).unwrap());
        }
        let answer = api.ask(request, "{\"data\":1}").await;
        assert_eq!(answer.error(), (400, Some(107)), "{keys:?}");
    }
    assert_eq!(
        api.get(MESSAGES).await.json()["position"]["offset"],
        0,
        "nothing was stored"
    );
}

#[tokio::test]
async fn a_room_is_percent_decoded_once() {
    let api = Api::new();
    let answer = api
        .post("/v1/rooms/kept%3Aa%2Fb%20%2541/messages", None, "{\"data\":1}")
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let history = api
        .call("history", json!({ "channel": "kept:a/b %41", "limit": 1 }))
        .await;
    assert_eq!(
        history["result"]["publications"],
        json!([{ "data": 1, "offset": 1 }])
    );
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_its_size() {
    let api = Api::new();
    let body = json!({ "data": "x".repeat(1 << 20) }).to_string();
    let answer = api.post(MESSAGES, None, &body).await;
    assert_eq!(answer.error(), (413, Some(106)), "{}", answer.body);
}

#[tokio::test]
async fn a_key_is_asked_for_with_a_challenge() {
    let api = Api::new();
    for verb in ["GET", "POST", "DELETE"] {
        let request = Request::builder()
            .method(verb)
            .uri(MESSAGES)
            .header("x-api-key", "wrong");
        let answer = api.ask(request, "{}").await;
        assert_eq!(answer.error(), (401, Some(101)), "{verb}");
        assert_eq!(answer.headers["www-authenticate"], "apikey");
    }
    let answer = api.ask(with_key("PUT", MESSAGES), "{}").await;
    assert_eq!(answer.error(), (405, Some(104)));
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(
        ["GET", "POST", "DELETE"]
            .iter()
            .all(|verb| allowed.contains(verb)),
        "{allowed}"
    );
}
