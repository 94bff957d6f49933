//! Three servers and streams on all of them: what only shows there.

use futures_util::{StreamExt, future::join_all};

use super::*;

/// A new cluster elects its leaders first.
const START_LIMIT: Duration = Duration::from_secs(30);

async fn ensure(jetstream: &JetStream, policy: &HistoryPolicy) -> Arc<Streams> {
    let settled = async {
        loop {
            match jetstream.ensure(policy).await {
                Ok(streams) => return streams,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    timeout(START_LIMIT, settled)
        .await
        .expect("the cluster takes streams")
}

/// Writers on one server and joins on another: nothing is lost between a join's head and what arrives live, and every
/// read reaches the head, whichever replica answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_lose_nothing_while_the_room_is_written_to() {
    let servers = NatsServer::start_cluster().await;
    let wanted = policy(|options| {
        options.size = 10_000;
        options.stream.replicas = 3;
    });
    let writer = connect(&servers[0].url()).await;
    let streams = ensure(&writer, &wanted).await;
    assert_eq!(streams.partitions().len(), 4);
    let room = streams.room("chat:lobby");

    let writing = {
        let room = room.clone();
        tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..40 {
                let stored = (0..25).map(|number| writer.store(&room, &publication(number), None));
                for receipt in join_all(stored).await {
                    last = receipt.unwrap().position.offset;
                }
            }
            last
        })
    };
    let mut joins = Vec::new();
    for number in 0..30 {
        let reader = connect(&servers[1 + number % 2].url()).await;
        let client = &reader.client;
        let live = client.subscribe(room.live.clone()).await.unwrap();
        let head = reader.head(&room).await.unwrap();
        let page = reader.page(&room, &WHOLE_ROOM, head).await.unwrap();
        joins.push((reader, live, page, head));
    }
    let last = writing.await.unwrap();
    for (reader, mut live, page, head) in joins {
        assert!(page.head.offset >= head);
        assert_eq!(offsets(&page).last().copied().unwrap_or(0), page.head.offset);
        let mut tracker = Tracker::new(page.head.offset);
        while tracker.position() < last {
            let message = timeout(LIMITS.request, live.next())
                .await
                .expect("nothing is lost")
                .unwrap();
            let verdict = tracker.observe(Arrival::read(&message).unwrap());
            assert!(matches!(verdict, Verdict::Old | Verdict::Next), "{verdict:?}");
        }
        assert_eq!(reader.head(&room).await, Ok(last));
    }
}

const WHOLE_ROOM: Query = Query {
    since: None,
    limit: 10_000,
    reverse: false,
};
