//! Several calls in one request, and errors by their status.

use super::*;

fn error(code: u32, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

impl Api {
    async fn batch(&self, request: Value) -> Value {
        let mut answer = self.call("batch", request).await;
        answer["replies"].take()
    }

    /// A body of commands; the replies line by line.
    async fn commands(&self, body: &str) -> Vec<Value> {
        let answer = self.ask(with_key("POST", "/api"), body.to_owned()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json");
        answer
            .body
            .split('\n')
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn a_batch_answers_each_command_in_order() {
    let api = Api::new();
    for parallel in [json!(true), json!(false), json!(null)] {
        let replies = api
            .batch(json!({ "parallel": parallel, "commands": [
                { "publish": { "channel": "passing:room", "data": 1 } },
                { "history_remove": { "channel": "kept:room" } },
                { "publish": { "channel": "nowhere:room", "data": 1 } },
                { "broadcast": { "channels": ["passing:a", "nowhere:b"], "data": 1 } },
                { "history": { "channel": "kept:room", "limit": 1 }, "unknown": 1, "publish": null },
                { "rpc": { "method": "m", "params": {} } },
                { "info": {} },
            ] }))
            .await;
        assert_eq!(replies.as_array().map(Vec::len), Some(7), "{replies}");
        assert_eq!(replies[0], json!({ "publish": {} }));
        assert_eq!(replies[1], json!({ "history_remove": {} }));
        assert_eq!(replies[2], error(102, "unknown channel"));
        let responses = json!([{ "result": {} }, error(102, "unknown channel")]);
        assert_eq!(replies[3], json!({ "broadcast": { "responses": responses } }));
        assert_eq!(replies[4]["history"]["publications"], json!([]));
        assert_eq!(replies[5], error(104, "method not found"));
        assert_eq!(replies[6]["info"]["nodes"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(api.batch(json!({})).await, json!([]));
}

#[tokio::test]
async fn a_wrong_command_costs_no_other_one() {
    let api = Api::new();
    let good = json!({ "publish": { "channel": "passing:room", "data": 1 } });
    for (wrong, code, message) in [
        (json!(null), 107, "bad request"),
        (json!([]), 107, "bad request"),
        (json!("publish"), 107, "bad request"),
        (json!({ "publish": [] }), 107, "bad request"),
        (json!({ "publish": { "channel": 1 } }), 107, "bad request"),
        (json!({ "rpc": {} }), 107, "bad request"),
        (json!({ "info": {}, "channels": {} }), 107, "bad request"),
        (json!({}), 104, "method not found"),
        (json!({ "teleport": {} }), 104, "method not found"),
        (json!({ "batch": { "commands": [] } }), 104, "method not found"),
    ] {
        let replies = api.batch(json!({ "commands": [good, wrong, good] })).await;
        let expected = json!([{ "publish": {} }, error(code, message), { "publish": {} }]);
        assert_eq!(replies, expected, "{wrong}");
    }
}

#[tokio::test]
async fn commands_one_after_another_see_what_those_before_did() {
    let api = Api::new();
    let publish = |n: u32| json!({ "publish": { "channel": "kept:room", "data": n } });
    let history = json!({ "history": { "channel": "kept:room", "limit": -1 } });
    let replies = api
        .batch(json!({ "commands": [publish(1), publish(2), history, publish(3), history] }))
        .await;
    let lens = [2, 4].map(|at| replies[at]["history"]["publications"].as_array().map(Vec::len));
    assert_eq!(lens, [Some(2), Some(3)], "{replies}");
    assert_eq!(replies[3]["publish"]["offset"], 3);
}

/// Places for 256 at once, of which a large one takes 64.
#[tokio::test]
async fn many_commands_side_by_side_all_get_their_turn() {
    let api = Api::new();
    let commands: Vec<_> = (0..2000)
        .map(|n| match n % 10 {
            0 => json!({ "history": { "channel": "kept:room", "limit": 1 } }),
            1 => json!({ "broadcast": { "channels": ["kept:a", "passing:b"], "data": n } }),
            _ => json!({ "publish": { "channel": format!("kept:{}", n % 100), "data": n } }),
        })
        .collect();
    let replies = api.batch(json!({ "commands": commands, "parallel": true })).await;
    for (command, reply) in commands.iter().zip(replies.as_array().unwrap()) {
        let method = command.as_object().unwrap().keys().next().unwrap();
        assert!(reply.get(method).is_some(), "{command} {reply}");
    }
}

#[tokio::test]
async fn a_request_has_so_many_commands_and_replies() {
    let api = Api::new();
    for (count, status) in [(10_000, 200), (10_001, 413)] {
        let body = format!("{{\"commands\":[{}]}}", vec!["{}"; count].join(","));
        assert_eq!(api.ask(with_key("POST", "/api/batch"), body).await.status, status);
        let body = "{}".repeat(count);
        assert_eq!(api.ask(with_key("POST", "/api"), body).await.status, status);
    }

    let data = json!({ "data": "x".repeat(900_000) }).to_string();
    for _ in 0..4 {
        assert_eq!(api.post(MESSAGES, None, &data).await.status, 201);
    }
    for parallel in [false, true] {
        let history = json!({ "history": { "channel": "kept:room", "limit": -1 } });
        let replies = api
            .batch(json!({ "commands": vec![history; 20], "parallel": parallel }))
            .await;
        let full = replies
            .as_array()
            .unwrap()
            .iter()
            .position(|reply| reply.get("history").is_none());
        let full = full.unwrap();
        assert!((5..10).contains(&full), "{full}");
        assert_eq!(replies[full], error(106, "limit exceeded"));
        assert_eq!(replies[19], error(106, "limit exceeded"));
    }
}

#[tokio::test]
async fn commands_name_their_method_in_the_body() {
    let api = Api::new();
    let body = concat!(
        r#"{"id":7,"method":"publish","params":{"channel":"passing:room","data":1}}"#,
        "\n",
        r#"{"method":"INFO"} {"method":"info","params":null}"#,
        r#"{"id":8,"method":"publish","params":{"channel":"nowhere:room","data":1}}"#,
        r#"{"id":9,"method":"teleport","params":{}}{"id":10,"method":"rpc","params":[]}"#,
        r#"{"method":"batch","params":{}}{"id":11}"#,
    );
    let replies = api.commands(body).await;
    assert_eq!(replies.len(), 8, "{replies:?}");
    assert_eq!(replies[0], json!({ "id": 7, "result": {} }));
    for reply in &replies[1..3] {
        assert_eq!(
            reply["result"]["nodes"].as_array().map(Vec::len),
            Some(1),
            "{reply}"
        );
    }
    let failed = |id: u32, code: u32, message: &str| {
        let mut reply = error(code, message);
        reply["id"] = json!(id);
        reply
    };
    assert_eq!(replies[3], failed(8, 102, "unknown channel"));
    assert_eq!(replies[4], failed(9, 104, "method not found"));
    assert_eq!(replies[5], failed(10, 107, "bad request"));
    assert_eq!(replies[6], error(104, "method not found"));
    assert_eq!(replies[7], failed(11, 104, "method not found"));
}

/// Nothing of a body is carried out when any of it cannot be read.
#[tokio::test]
async fn a_body_that_is_no_commands_does_nothing() {
    let api = Api::new();
    let good = r#"{"method":"publish","params":{"channel":"kept:room","data":1}}"#;
    for rest in ["{", "[]", "7", r#"{"id":-1}"#, r#"{"method":1}"#, "}"] {
        let answer = api.ask(with_key("POST", "/api"), format!("{good}{rest}")).await;
        assert_eq!(answer.status, 400, "{rest}: {}", answer.body);
    }
    for empty in ["", " \n"] {
        assert_eq!(api.ask(with_key("POST", "/api"), empty).await.status, 400);
    }
    for body in [
        "",
        "[]",
        "{",
        r#"{"commands":{}}"#,
        r#"{"commands":[{},{]}"#,
        r#"{"parallel":1}"#,
    ] {
        assert_eq!(
            api.ask(with_key("POST", "/api/batch"), body).await.status,
            400,
            "{body}"
        );
    }
    assert_eq!(api.get(MESSAGES).await.json()["position"]["offset"], 0);
}

#[tokio::test]
async fn errors_come_by_their_status_when_asked_for() {
    let api = Api::new();
    for (method, body, status, error) in [
        (
            "publish",
            json!({ "channel": "passing:room" }),
            400,
            json!({ "code": 107, "message": "bad request" }),
        ),
        (
            "publish",
            json!({ "channel": "nowhere:room", "data": 1 }),
            404,
            json!({ "code": 102, "message": "unknown channel" }),
        ),
        (
            "history",
            json!({ "channel": "passing:room" }),
            400,
            json!({ "code": 108, "message": "not available" }),
        ),
        (
            "history",
            json!({ "channel": "kept:room", "since": { "offset": 1, "epoch": "other" } }),
            416,
            json!({ "code": 112, "message": "unrecoverable position" }),
        ),
        (
            "subscribe",
            json!({ "user": "42", "channel": "passing:room", "expire_at": 1 }),
            400,
            json!({ "code": 110, "message": "expired" }),
        ),
        (
            "rpc",
            json!({ "method": "m" }),
            404,
            json!({ "code": 104, "message": "method not found" }),
        ),
        (
            "broadcast",
            json!({ "channels": vec!["passing:room"; 10_001], "data": 1 }),
            413,
            json!({ "code": 106, "message": "limit exceeded" }),
        ),
        (
            "publish",
            json!({ "channel": "passing:room", "data": 1 }),
            200,
            json!({ "result": {} }),
        ),
        (
            "batch",
            json!({ "commands": [{}] }),
            200,
            json!({ "replies": [{ "error": { "code": 104, "message": "method not found" } }] }),
        ),
    ] {
        let request =
            with_key("POST", &format!("/api/{method}")).header("X-Centrifugo-Error-Mode", "transport");
        let answer = api.ask(request, body.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, error),
            "{method}"
        );
    }
    let request = with_key("POST", "/api/rpc").header("X-Centrifugo-Error-Mode", "other");
    assert_eq!(api.ask(request, "{}").await.status, 200);
}
