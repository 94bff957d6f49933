//! A link to a server that says what no real one would, or at a moment that no real one can be made to choose.

use std::net::Ipv4Addr;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::*;
use crate::{bus::nats::credentials::NatsFiles, metrics::Metrics};

const LIMIT: Duration = Duration::from_secs(10);
const INFO: &str = "INFO {\"server_id\":\"A\",\"max_payload\":1000,\"headers\":true}\r\n";

/// The payloads that came.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Taker for Recorder {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        self.0.lock().push(text(delivery.payload));
    }
}

/// The server's side of one connection.
struct Peer {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Peer {
    /// Greets the next connection and takes its login.
    async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut peer = Self::of(socket);
        peer.say(INFO).await;
        assert!(peer.line().await.starts_with("CONNECT {"));
        assert_eq!(peer.line().await, "PING");
        peer.say("PONG\r\n").await;
        peer
    }

    fn of(socket: TcpStream) -> Self {
        let (read, write) = socket.into_split();
        let lines = BufReader::new(read).lines();
        Self { lines, write }
    }

    async fn say(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let line = timeout(LIMIT, self.lines.next_line()).await.unwrap().unwrap();
        line.unwrap_or_else(|| "the end".to_owned())
    }

    /// Takes the subscriptions that are told after a connect.
    async fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            match self.line().await.as_str() {
                "PING" => break,
                line => told.push(line.to_owned()),
            }
        }
        self.say("PONG\r\n").await;
        told
    }
}

struct Scene {
    listener: TcpListener,
    link: Link,
    changes: watch::Receiver<u64>,
    metrics: Metrics,
}

impl Scene {
    async fn new(ping_interval: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("nats://{}", listener.local_addr().unwrap());
        let servers: Vec<ServerAddr> = vec![address.parse().unwrap()];
        let metrics = Metrics::new().unwrap();
        let (count, changes) = watch::channel(0);
        let link = Link::start(LinkConfig {
            login: Login::new(&servers, NatsFiles::default()),
            servers,
            name: "test rooms".to_owned(),
            ping_interval,
            connect_timeout: LIMIT,
            pause: |_| Duration::ZERO,
            changed: count,
            metrics: metrics.bus.clone(),
            log_budget: Arc::new(LogBudget::new(10)),
            refusals: Arc::default(),
        });
        Self {
            listener,
            link,
            changes,
            metrics,
        }
    }

    async fn until(&mut self, connection: Option<u64>) {
        let link = self.link.clone();
        let there = self.changes.wait_for(|_| link.connection() == connection);
        timeout(LIMIT, there).await.unwrap().unwrap();
    }

    fn errors(&self, kind: &str) -> String {
        let line = format!("natter_bus_errors_total{{kind=\"{kind}\"}} ");
        let text = self.metrics.encode().unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.unwrap_or("0").to_owned()
    }
}

#[tokio::test]
async fn what_is_no_protocol_ends_the_connection_and_the_next_one_is_told_all() {
    let mut scene = Scene::new(LIMIT).await;
    let room = Arc::<Recorder>::default();
    let _room = scene.link.subscribe("room", room.clone());
    let junk = [
        "HELLO\r\n",
        "MSG room x 1\r\n",
        "MSG room 0 1\r\nabc",
        "INFO junk\r\n",
    ];
    for (number, junk) in (1..).zip(junk) {
        let mut peer = Peer::accept(&scene.listener).await;
        assert_eq!(peer.told().await, ["SUB room 0"]);
        scene.until(Some(number)).await;
        // What came before it counts.
        peer.say(&format!(
            "MSG room 0 1\r\n{number}\r\nMSG room 9 1\r\nx\r\n{junk}"
        ))
        .await;
        assert_eq!(peer.line().await, "the end", "{junk:?}");
    }
    assert_eq!(*room.0.lock(), ["1", "2", "3", "4"]);
    assert_eq!(scene.errors("connection"), "4");
}

#[tokio::test]
async fn a_subscription_that_is_not_permitted_is_known_to_be() {
    let mut scene = Scene::new(LIMIT).await;
    let subscribe = |subject| scene.link.subscribe(subject, Arc::<Recorder>::default());
    let (secret, open) = (subscribe("secret"), subscribe("open"));
    let mut peer = Peer::accept(&scene.listener).await;
    peer.say("-ERR 'Permissions Violation for Subscription to \"secret\"'\r\n")
        .await;
    peer.told().await;
    scene.until(Some(1)).await;
    assert!(secret.is_refused() && !open.is_refused());
    drop(peer);
    // Elsewhere it may be permitted.
    let mut peer = Peer::accept(&scene.listener).await;
    peer.told().await;
    scene.until(Some(2)).await;
    assert!(!secret.is_refused());
    // Which one was too many the server does not say.
    let crowded = scene.link.subscribe("crowded", Arc::<Recorder>::default());
    assert_eq!(peer.line().await, "SUB crowded 2");
    peer.say("-ERR 'maximum subscriptions exceeded'\r\nPING\r\n")
        .await;
    assert_eq!(peer.line().await, "PONG");
    assert!(crowded.is_refused());
    assert_eq!(
        (scene.errors("permission"), scene.errors("server")),
        ("1".into(), "1".into())
    );
}

#[tokio::test]
async fn a_panic_costs_one_message() {
    struct Panics;

    impl Taker for Panics {
        fn take(self: Arc<Self>, _: &Delivery<'_>) {
            panic!("on purpose");
        }
    }

    let mut scene = Scene::new(LIMIT).await;
    let room = Arc::<Recorder>::default();
    let _subscribed = (
        scene.link.subscribe("panics", Arc::new(Panics)),
        scene.link.subscribe("room", room.clone()),
    );
    let mut peer = Peer::accept(&scene.listener).await;
    peer.told().await;
    scene.until(Some(1)).await;
    peer.say("MSG panics 0 1\r\nx\r\nMSG room 1 1\r\na\r\nPING\r\n")
        .await;
    assert_eq!(peer.line().await, "PONG");
    assert_eq!(*room.0.lock(), ["a"]);
    assert_eq!(scene.errors("panic"), "1");
}

#[tokio::test]
async fn a_login_that_is_refused_is_tried_again() {
    let mut scene = Scene::new(LIMIT).await;
    for _ in 0..2 {
        let (socket, _) = timeout(LIMIT, scene.listener.accept()).await.unwrap().unwrap();
        let mut peer = Peer::of(socket);
        peer.say(INFO).await;
        peer.line().await;
        peer.say("-ERR 'Authorization Violation'\r\n").await;
        while peer.line().await != "the end" {}
    }
    let mut peer = Peer::accept(&scene.listener).await;
    peer.told().await;
    scene.until(Some(1)).await;
    assert_eq!(scene.errors("connection"), "2");
}

#[tokio::test]
async fn a_server_that_answers_no_ping_is_left() {
    let mut scene = Scene::new(Duration::from_millis(20)).await;
    let mut mute = Peer::accept(&scene.listener).await;
    mute.told().await;
    while mute.line().await != "the end" {}
    let mut peer = Peer::accept(&scene.listener).await;
    peer.told().await;
    scene.until(Some(2)).await;
}

/// Everybody in the account may write what is no text.
#[tokio::test]
async fn strange_subjects_and_headers_do_not_end_the_connection() {
    let mut scene = Scene::new(LIMIT).await;
    let room = Arc::<Recorder>::default();
    let _room = scene.link.subscribe("room", room.clone());
    let mut peer = Peer::accept(&scene.listener).await;
    peer.told().await;
    scene.until(Some(1)).await;
    peer.write
        .write_all(b"HMSG room 0 \xff\xfe 3 4\r\n\xff\xff\xffa\r\n")
        .await
        .unwrap();
    peer.say("PING\r\n").await;
    assert_eq!(peer.line().await, "PONG");
    assert_eq!(*room.0.lock(), ["a"]);
}
