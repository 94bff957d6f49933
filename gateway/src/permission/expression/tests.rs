use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn permits(text: &str, user: &str, channel: &str, claims: &Value) -> Result<bool, Unanswered> {
    let claims = serde_json::value::to_raw_value(claims).unwrap();
    let facts = Facts {
        user,
        channel,
        namespace: "chat",
        subscribed: false,
        meta: Some(&claims),
        claims: Some(&claims),
    };
    Expression::new(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .permits(&facts)
}

fn refused(text: &str) -> ExpressionError {
    Expression::new(text).expect_err(text)
}

#[test]
fn it_looks_at_user_room_and_claims() {
    let claims = json!({
        "roles": ["admin", "chief"], "level": 3, "big": u64::MAX, "rate": 0.5, "team": { "id": "blue" }, "ok": true,
        "none": null,
    });
    for (text, expected) in [
        ("'admin' in meta.roles", true),
        ("'guest' in meta.roles", false),
        ("claims.level >= 3 && claims.level == 3", true),
        ("claims.big > 9223372036854775807", true),
        ("claims.rate < 1", true),
        ("claims.team.id == 'blue' || user == 'bob'", true),
        ("claims['team']['id'] == 'red'", false),
        ("claims.ok", true),
        ("has(claims.missing) && claims.missing == 1", false),
        ("claims.none == null", true),
        ("channel == 'chat:' + user", true),
        ("channel == namespace + ':ann' && !subscribed", true),
        ("channel.startsWith('chat:') && channel.endsWith(user)", true),
        ("channel.matches('^chat:[a-z]+$')", true),
        ("size(claims.roles) == 2 && size('Zoë') == 3", true),
        ("claims.roles.exists(role, role.startsWith('ch'))", true),
        ("claims.roles.all(role, role == 'admin')", false),
        ("claims.roles.exists_one(role, role == 'admin')", true),
        ("user in ['ann', 'bob'] ? claims.ok : false", true),
        ("string(claims.level) == '3' && int('3') == claims.level", true),
    ] {
        assert_eq!(permits(text, "ann", "chat:ann", &claims), Ok(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_said_is_no_yes() {
    let claims = json!({ "roles": "admin", "name": "ann", "level": "3", "list": [1, "a"] });
    for (text, expected) in [
        ("claims.missing == 1", Unanswered::Missing),
        ("!claims.missing", Unanswered::Missing),
        // The library by itself says false of a member of a text.
        ("!claims.name.banned", Unanswered::Type),
        ("!claims.level.contains(3)", Unanswered::Type),
        ("!claims.list.contains('b')", Unanswered::Type),
        ("claims.level > 2", Unanswered::Type),
        ("claims.name", Unanswered::NoAnswer),
        ("claims.list.all(item, item > 0)", Unanswered::Type),
        ("claims.list[7] == 1", Unanswered::Missing),
        ("9223372036854775807 + size(user) > 0", Unanswered::Type),
        ("1 / 0 == 1", Unanswered::Type),
    ] {
        assert_eq!(permits(text, "ann", "chat:ann", &claims), Err(expected), "{text}");
    }
    for empty in [json!(null), json!([1]), json!("x")] {
        assert_eq!(
            permits("claims.a == 1", "ann", "a", &empty),
            Err(Unanswered::Missing)
        );
        assert_eq!(permits("user == 'ann'", "ann", "a", &empty), Ok(true));
    }
}

#[test]
fn what_is_no_expression_is_told_when_it_is_read() {
    for text in [
        "",
        "user ==",
        "(",
        "user = 'a'",
        "'a",
        "a b",
        "/",
        "\u{0}",
        "user.",
        "[",
        "user == \"\\",
    ] {
        assert!(matches!(refused(text), ExpressionError::Syntax(_)), "{text:?}");
    }
    assert_eq!(refused("usr == 'ann'"), ExpressionError::Variable("usr".into()));
    assert_eq!(
        refused("vars.user == user"),
        ExpressionError::Variable("vars".into())
    );
    assert_eq!(
        refused("['a'].exists(x, y == x)"),
        ExpressionError::Variable("y".into())
    );
    for name in ["now", "max", "bytes", "timestamp", "duration", "toLower"] {
        assert_eq!(
            refused(&format!("{name}(user) == user")),
            ExpressionError::Function(name.into())
        );
    }
    for text in [
        "size() == 1",
        "size(user, user) == 1",
        "user.startsWith() ",
        "'a'.size(user) == 1",
    ] {
        assert!(
            matches!(refused(text), ExpressionError::Arguments { .. }),
            "{text}"
        );
    }
    assert_eq!(refused(&" ".repeat(1025)), ExpressionError::TooLong);
    for text in [
        "1",
        "'yes'",
        "user",
        "claims",
        "[true]",
        "size(user)",
        "1 + 1",
        "-1",
    ] {
        assert!(matches!(refused(text), ExpressionError::Refused(_)), "{text}");
    }
}

#[test]
fn what_would_cost_much_is_refused() {
    let list = "claims.list";
    for text in [
        format!("{list}.all(a, {list}.all(b, a == b))"),
        format!("{list}.exists(a, a.exists(b, b == 1))"),
        format!("{list}.all(a, a in {list})"),
        format!("{list}.exists(a, meta.x == a)"),
        format!("size({list}.map(a, a)) == 1"),
        format!("size({list}.filter(a, a == 1)) == 1"),
        "channel.matches(user)".to_owned(),
        "channel.matches('(')".to_owned(),
        "channel.matches('x{900}{900}')".to_owned(),
        format!("size({}) == 1", vec!["user"; 20].join(" + ")),
        format!("{list}.all(a, {})", ["a != 1"; 10].join(" && ")),
        vec!["user == 'ann'"; 50].join(" || "),
        "{'a': 1}.a == 1".to_owned(),
        "google.protobuf.Int32Value{value: 1} == 1".to_owned(),
    ] {
        assert!(
            matches!(refused(&text), ExpressionError::Refused(_)),
            "{text}: {:?}",
            refused(&text)
        );
    }
}

#[test]
fn depth_ends_no_thread() {
    for text in [
        "(".repeat(1024),
        format!("{}true{}", "(".repeat(400), ")".repeat(400)),
        format!("{}true", "!".repeat(1000)),
        format!("{}1 == 1", "-".repeat(1000)),
        format!("user{} == 1", ".a".repeat(500)),
        format!("user{} == 1", "[0]".repeat(330)),
        format!("{}false", "true ? false : ".repeat(60)),
        format!("{}1 == 1", "1 + ".repeat(250)),
        format!("{}user == user", "[".repeat(500)),
        "a?.b".repeat(200),
    ] {
        drop(Expression::new(&text).map(|_| ()));
    }
    // As deep as they may be, on a stack as small as a worker's.
    let deep = format!("claims{} == 1", ".a".repeat(29));
    let mut claims = json!(1);
    for _ in 0..29 {
        claims = json!({ "a": claims });
    }
    let thread = thread::Builder::new().stack_size(2 << 20);
    let answer = thread
        .spawn(move || permits(&deep, "ann", "a", &claims))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(answer, Ok(true));
}

#[test]
fn inputs_are_bounded() {
    let many = json!({ "list": vec![0; 1100] });
    let long = json!({ "text": "x".repeat(17 * 1024) });
    for claims in [many, long] {
        assert_eq!(
            permits("size(claims) == 1", "ann", "a", &claims),
            Err(Unanswered::TooLarge)
        );
        assert_eq!(permits("user == 'ann'", "ann", "a", &claims), Ok(true));
    }
    assert_eq!(
        permits("true", &"x".repeat(256), "a", &json!({})),
        Err(Unanswered::TooLarge)
    );
}

#[test]
fn the_dearest_that_are_taken_have_an_answer() {
    let numbers = json!({ "list": vec![7; 1000] });
    let texts = json!({ "list": vec!["abcdefghijkl"; 1000] });
    for (text, claims) in [
        (vec!["size(claims) > 0"; 20].join(" && "), &numbers),
        (format!("size({}) > 0", ["claims.list"; 10].join(" + ")), &texts),
        (vec!["claims.list == claims.list"; 14].join(" && "), &texts),
        (
            format!("claims.list.all(a, {})", ["!user.contains(a)"; 4].join(" && ")),
            &texts,
        ),
        ("claims.list.all(a, !user.matches('(a*)*b'))".to_owned(), &texts),
        ("claims.list.all(a, user + user != a)".to_owned(), &texts),
    ] {
        let user = "a".repeat(255);
        assert_eq!(permits(&text, &user, "chat:ann", claims), Ok(true), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_ends_more_than_itself(text in "([a-z\\.\\(\\)\\[\\]{}?:!&|=<>+*/%,'\"@#\\\\ 0-9-]|user|claims|in|true|has|all|[^a]){0,80}") {
        let claims = serde_json::value::to_raw_value(&json!({ "a": [1, "b", null] })).unwrap();
        let facts = Facts {
            user: "ann",
            channel: "chat:a",
            namespace: "chat",
            subscribed: true,
            meta: None,
            claims: Some(&claims),
        };
        if let Ok(expression) = Expression::new(&text) {
            let _ = expression.permits(&facts);
        }
    }
}
