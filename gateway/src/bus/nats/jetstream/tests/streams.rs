use super::*;
use crate::config::Storage;

async fn server() -> (NatsServer, JetStream) {
    let server = NatsServer::start().await;
    let jetstream = connect(&server.url()).await;
    (server, jetstream)
}

#[tokio::test]
async fn streams_are_made_once_and_found_again() {
    let (_server, jetstream) = server().await;
    let wanted = policy(|options| options.stream.partitions = Some(3));
    let made = jetstream.ensure(&wanted).await.unwrap();
    let found = jetstream.ensure(&wanted).await.unwrap();
    assert!(found.continues(&made));
    let names: Vec<_> = made
        .partitions()
        .iter()
        .map(|partition| partition.stream.as_str())
        .collect();
    assert_eq!(names, ["n_chat_0", "n_chat_1", "n_chat_2"]);
    // A number that is not configured is taken from the streams.
    assert_eq!(
        jetstream
            .ensure(&policy(|_| {}))
            .await
            .unwrap()
            .partitions()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_single_server_gets_one_partition() {
    let (_server, jetstream) = server().await;
    assert_eq!(
        jetstream
            .ensure(&policy(|_| {}))
            .await
            .unwrap()
            .partitions()
            .len(),
        1
    );
}

#[tokio::test]
async fn gateways_that_start_together_agree() {
    let (server, jetstream) = server().await;
    let other = connect(&server.url()).await;
    let (three, any) = (
        policy(|options| options.stream.partitions = Some(3)),
        policy(|_| {}),
    );
    let (first, second) = tokio::join!(jetstream.ensure(&three), other.ensure(&any));
    match (first, second) {
        (Ok(first), Ok(second)) => assert!(first.continues(&second)),
        // The gateway without a number was faster, and its default of 1 holds.
        (Err(StreamError::Partitions { found: 1, .. }), Ok(second)) => {
            assert_eq!(second.partitions().len(), 1);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_by_its_option() {
    let (_server, jetstream) = server().await;
    jetstream
        .ensure(&policy(|options| options.stream.partitions = Some(2)))
        .await
        .unwrap();
    let error = jetstream
        .ensure(&policy(|options| options.stream.partitions = Some(4)))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("rooms.namespaces[chat].history.stream.partitions is 4")
            && error.contains("has 2 partitions"),
        "{error}"
    );
}

#[tokio::test]
async fn settings_follow_the_options_and_the_rest_stays() {
    let (_server, jetstream) = server().await;
    let before = jetstream.ensure(&policy(|_| {})).await.unwrap();
    let mut info = admin(&jetstream, "STREAM.INFO", "n_chat_0", Value::Null).await;
    info["config"]["description"] = "mine".into();
    info["config"]["allow_direct"] = false.into();
    admin(&jetstream, "STREAM.UPDATE", "n_chat_0", info["config"].clone()).await;

    let after = jetstream
        .ensure(&policy(|options| {
            options.size = 7;
            options.ttl = Duration::from_mins(1);
            options.idempotency_window = Duration::from_secs(30);
            options.stream.max_bytes = Some(1 << 20);
        }))
        .await
        .unwrap();
    assert_eq!(after.partitions()[0].epoch, before.partitions()[0].epoch);
    let config = admin(&jetstream, "STREAM.INFO", "n_chat_0", Value::Null).await["config"].take();
    for (name, value) in [
        ("description", json!("mine")),
        ("allow_direct", json!(true)),
        ("max_msgs_per_subject", json!(7)),
        ("max_age", json!(60_000_000_000_u64)),
        ("duplicate_window", json!(30_000_000_000_u64)),
        ("max_bytes", json!(1 << 20)),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_change_is_an_error_that_names_it() {
    let (_server, jetstream) = server().await;
    jetstream.ensure(&policy(|_| {})).await.unwrap();
    let memory = policy(|options| options.stream.storage = Storage::Memory);
    let error = jetstream.ensure(&memory).await.unwrap_err().to_string();
    assert!(
        error.contains(r#"storage is "file", needs "memory" and cannot be changed"#),
        "{error}"
    );
    let replicas = policy(|options| options.stream.replicas = 3);
    let error = jetstream.ensure(&replicas).await.unwrap_err().to_string();
    assert!(
        error.contains("rooms.namespaces[chat].history.stream.replicas") && error.contains("need a cluster"),
        "{error}"
    );
}

#[tokio::test]
async fn an_administrators_streams_are_checked_only() {
    let (_server, jetstream) = server().await;
    let checked = policy(|options| options.stream = unmanaged());
    let missing = jetstream.ensure(&checked).await.unwrap_err();
    assert!(
        matches!(
            missing,
            StreamError::UnknownPartitions { .. } | StreamError::Missing { .. }
        ),
        "{missing}"
    );

    let own = json!({ "name": "n_chat_0", "subjects": ["n.msg.chat.0.>"], "storage": "file",
        "retention": "limits", "num_replicas": 1, "max_age": 0, "duplicate_window": 300_000_000_000_u64 });
    admin(&jetstream, "STREAM.CREATE", "n_chat_0", own.clone()).await;
    let unknown = jetstream.ensure(&checked).await.unwrap_err();
    assert!(
        matches!(unknown, StreamError::UnknownPartitions { .. }),
        "{unknown}"
    );

    let checked = policy(|options| {
        options.stream = unmanaged();
        options.stream.partitions = Some(1);
    });
    let error = jetstream.ensure(&checked).await.unwrap_err().to_string();
    assert!(
        error.contains("allow_direct is") && error.contains("republish is missing"),
        "{error}"
    );

    let mut good = own;
    good["allow_direct"] = true.into();
    good["republish"] = json!({ "src": "n.msg.chat.0.>", "dest": "n.live.chat.0.>" });
    admin(&jetstream, "STREAM.UPDATE", "n_chat_0", good).await;
    jetstream.ensure(&checked).await.unwrap();
}

#[tokio::test]
async fn a_stream_made_again_has_another_epoch() {
    let (_server, jetstream) = server().await;
    let first = jetstream.ensure(&policy(|_| {})).await.unwrap();
    admin(&jetstream, "STREAM.DELETE", "n_chat_0", Value::Null).await;
    let second = jetstream.ensure(&policy(|_| {})).await.unwrap();
    assert_ne!(first.partitions()[0].epoch, second.partitions()[0].epoch);
}

/// Looks at the streams until they are others than `known`.
async fn renewed(jetstream: &JetStream, known: &Streams) -> Arc<Streams> {
    let looks = async {
        loop {
            let streams = jetstream.ensure_again(&policy(|_| {}), known).await;
            match streams {
                Ok(streams) if !streams.continues(known) => return streams,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    timeout(LIMITS.request * 4, looks).await.expect("another epoch")
}

/// Its creation is what it was, and its sequences begin again.
#[tokio::test]
async fn a_stream_that_lost_its_messages_has_another_epoch() {
    let mut setup = Setup::new(|_| {}).await;
    setup.fill(&setup.room(), 5).await;
    setup.server.restart_without_messages("n_chat_0").await;
    let (jetstream, known) = (&setup.jetstream, &setup.streams);
    let streams = renewed(jetstream, known).await;
    let room = streams.room("chat:lobby");
    assert_eq!(jetstream.head(&room).await, Ok(0));
    assert_eq!(setup.fill(&room, 1).await, [1]);

    // Every gateway comes to the same epoch.
    let found = jetstream.ensure(&policy(|_| {})).await.unwrap();
    assert!(found.continues(&streams) && !found.continues(known));
    assert!(renewed(jetstream, known).await.continues(&streams));
    // Also when somebody empties the metadata.
    let mut config = admin(jetstream, "STREAM.INFO", "n_chat_0", Value::Null).await["config"].take();
    config["metadata"] = json!({});
    admin(jetstream, "STREAM.UPDATE", "n_chat_0", config).await;
    let again = jetstream.ensure_again(&policy(|_| {}), &streams).await.unwrap();
    assert!(again.continues(&streams));
    assert!(
        jetstream
            .ensure(&policy(|_| {}))
            .await
            .unwrap()
            .continues(&streams)
    );
}

#[tokio::test]
async fn any_room_is_stored_under_its_own_subject() {
    let setup = Setup::new(|_| {}).await;
    let rooms = [
        "chat:a.b",
        "chat:a%2Eb",
        "chat:*",
        "chat:größe",
        "chat:two words",
        "chat:>",
    ];
    for room in rooms {
        setup.fill(&setup.streams.room(room), 1).await;
    }
    for room in rooms {
        let page = setup.page(&setup.streams.room(room), None, 10, false).await;
        assert_eq!(page.publications.len(), 1, "{room}");
    }
}
