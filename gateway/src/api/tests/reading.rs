//! Reading and forgetting what a room keeps, by both doors.

use super::*;

/// The numbers of a page and its cursor.
fn page(answer: &Answer) -> (Vec<u64>, Option<String>) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let messages = body["messages"].as_array().unwrap();
    (
        messages
            .iter()
            .map(|message| message["data"].as_u64().unwrap())
            .collect(),
        body["next"].as_str().map(str::to_owned),
    )
}

#[tokio::test]
async fn history_answers_what_is_asked() {
    let api = Api::new();
    api.fill(1..=4).await;
    let history = async |fields: Value| {
        let mut request = json!({ "channel": "kept:room" });
        request
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        api.call("history", request).await
    };
    let epoch = history(json!({})).await["result"]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let since = |offset: u32| json!({ "offset": offset, "epoch": epoch });
    for (fields, numbers) in [
        (json!({}), vec![]),
        (json!({ "limit": 0, "since": null, "reverse": null }), vec![]),
        (json!({ "limit": 2 }), vec![1, 2]),
        (json!({ "limit": -1 }), vec![1, 2, 3, 4]),
        (json!({ "limit": i64::MAX }), vec![1, 2, 3, 4]),
        (json!({ "limit": 2, "reverse": true }), vec![4, 3]),
        (json!({ "limit": 9, "since": since(2) }), vec![3, 4]),
        (json!({ "limit": 9, "since": since(4) }), vec![]),
        (json!({ "limit": 9, "since": since(99) }), vec![]),
        (json!({ "limit": 9, "since": { "offset": 3 } }), vec![4]),
        (
            json!({ "limit": 9, "since": since(3), "reverse": true }),
            vec![2, 1],
        ),
    ] {
        let publications: Vec<_> = numbers
            .iter()
            .map(|n| json!({ "data": n, "offset": n }))
            .collect();
        let result = json!({ "publications": publications, "epoch": epoch, "offset": 4 });
        assert_eq!(
            history(fields.clone()).await,
            json!({ "result": result }),
            "{fields}"
        );
    }
    for (fields, code) in [
        (json!({ "since": { "offset": 1, "epoch": "other" } }), 112),
        (json!({ "since": since(0), "reverse": true }), 107),
        (json!({ "channel": "passing:room" }), 108),
        (json!({ "channel": "nowhere:room" }), 102),
        (json!({ "channel": "" }), 107),
    ] {
        assert_eq!(history(fields.clone()).await["error"]["code"], code, "{fields}");
    }
}

#[tokio::test]
async fn a_payload_comes_back_as_it_went() {
    let api = Api::new();
    let data = r#"{"z":1e400,"a":  18446744073709551616, "s":"\ud83d"}"#;
    let body = format!(r#"{{"data":{data},"tags":{{"a":"\""}}}}"#);
    assert_eq!(api.post(MESSAGES, None, &body).await.status, 201);
    let text = format!(r#"[{{"data":{data},"offset":1,"tags":{{"a":"\""}}}}]"#);
    let rest = api.get(MESSAGES).await.body;
    assert!(
        rest.starts_with(&format!(r#"{{"messages":{text},"next":null,"position":{{"#)),
        "{rest}"
    );
    let request = json!({ "channel": "kept:room", "limit": 1 }).to_string();
    let history = api.ask(with_key("POST", "/api/history"), request).await.body;
    assert!(
        history.starts_with(&format!(r#"{{"result":{{"publications":{text},"epoch":""#)),
        "{history}"
    );
}

#[tokio::test]
async fn a_listing_goes_on_by_its_cursor_in_both_orders() {
    let api = Api::new();
    let (empty, next) = page(&api.get(MESSAGES).await);
    assert_eq!((empty, next), (vec![], None));
    api.fill(1..=5).await;
    for (order, pages) in [
        ("asc", [vec![1, 2], vec![3, 4], vec![5]]),
        ("desc", [vec![5, 4], vec![3, 2], vec![1]]),
    ] {
        let mut uri = format!("{MESSAGES}?limit=2&order={order}");
        for numbers in &pages {
            let (found, next) = page(&api.get(&uri).await);
            assert_eq!(&found, numbers, "{uri}");
            assert_eq!(next.is_none(), numbers.len() == 1, "{uri}");
            uri = format!("{MESSAGES}?limit=2&cursor={}", next.unwrap_or_default());
        }
    }
    let exact = api.get(&format!("{MESSAGES}?limit=5&api_key=ignored")).await;
    assert_eq!(
        page(&exact),
        (vec![1, 2, 3, 4, 5], None),
        "no cursor to an empty page"
    );
    assert_eq!(exact.json()["position"]["offset"], 5);
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_refused() {
    let api = Api::new();
    api.fill(1..=5).await;
    let cursor = async |order: &str| {
        page(&api.get(&format!("{MESSAGES}?limit=1&order={order}")).await)
            .1
            .unwrap()
    };
    let (asc, desc) = (cursor("asc").await, cursor("desc").await);
    let elsewhere = format!("/v1/rooms/kept:other/messages?cursor={asc}");
    let answer = api.get(&elsewhere).await;
    assert_eq!(answer.error(), (410, Some(112)), "another epoch: {}", answer.body);
    let other_order = api.get(&format!("{MESSAGES}?order=desc&cursor={asc}")).await;
    assert_eq!(other_order.error(), (400, Some(107)));

    api.fill(6..=7).await;
    let answer = api.get(&format!("{MESSAGES}?cursor={asc}")).await;
    assert_eq!(
        answer.error(),
        (410, Some(112)),
        "2 was forgotten before it was read: {}",
        answer.body
    );
    let answer = api.get(&format!("{MESSAGES}?cursor={desc}")).await;
    assert_eq!(page(&answer), (vec![4, 3], None), "history may end anywhere");
}

#[tokio::test]
async fn parameters_of_a_listing_are_checked() {
    let api = Api::new();
    for (query, message) in [
        ("limit=0", "limit: 0 is not within 1 to 1000"),
        ("limit=1001", "limit: 1001 is not within 1 to 1000"),
        ("limit=-1", "Failed to deserialize query string: limit: "),
        ("limit=", "Failed to deserialize query string: limit: "),
        ("order=up", "Failed to deserialize query string: order: "),
        ("odrer=asc", "Failed to deserialize query string: odrer: "),
        (
            "limit=1&limit=2",
            "Failed to deserialize query string: duplicate field",
        ),
        ("cursor=", "cursor: "),
        ("cursor=abc", "cursor: "),
    ] {
        let answer = api.get(&format!("{MESSAGES}?{query}")).await;
        assert_eq!(answer.error(), (400, Some(107)), "{query}: {}", answer.body);
        let error = answer.json();
        let found = error["error"]["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{query}: {found}");
    }
    let ephemeral = api.get("/v1/rooms/passing:room/messages").await;
    assert_eq!(ephemeral.error(), (404, Some(108)));
    assert_eq!(
        api.get("/v1/rooms/nowhere:room/messages").await.error(),
        (404, Some(102))
    );
}

#[tokio::test]
async fn removal_keeps_the_position() {
    let api = Api::new();
    for number in 1..=2 {
        let epoch = api.call("history", json!({ "channel": "kept:room" })).await["result"]["epoch"].take();
        api.fill(number..=number).await;
        if number == 1 {
            let removed = api.ask(with_key("DELETE", MESSAGES), Body::empty()).await;
            assert_eq!((removed.status.as_u16(), removed.body.as_str()), (204, ""));
        } else {
            let request = json!({ "channel": "kept:room" });
            assert_eq!(api.call("history_remove", request).await, json!({ "result": {} }));
        }
        let left = json!({ "messages": [], "next": null, "position": { "offset": number, "epoch": epoch } });
        assert_eq!(api.get(MESSAGES).await.json(), left);
    }
    let ephemeral = api
        .ask(
            with_key("DELETE", "/v1/rooms/passing:room/messages"),
            Body::empty(),
        )
        .await;
    assert_eq!(ephemeral.error(), (404, Some(108)));
    let answer = api
        .call("history_remove", json!({ "channel": "passing:room" }))
        .await;
    assert_eq!(answer["error"]["code"], 108);
}

#[tokio::test]
async fn an_array_is_no_object() {
    let api = Api::new();
    for (method, request) in [
        (
            "history",
            json!({ "channel": "kept:room", "since": [1, "epoch"] }),
        ),
        (
            "disconnect",
            json!({ "user": "42", "disconnect": [4000, "reason"] }),
        ),
    ] {
        let answer = api
            .ask(with_key("POST", &format!("/api/{method}")), request.to_string())
            .await;
        assert_eq!(answer.status, 400, "{method}: {}", answer.body);
    }
}
