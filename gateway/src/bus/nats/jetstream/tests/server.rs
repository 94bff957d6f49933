//! A `nats-server` of one test, alone or as a node of a cluster.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::ConnectOptions;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Enough for a start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct NatsServer {
    port: Port,
    process: Child,
    directory: TempDir,
}

/// A port that nobody else is given; a child may listen on it all the same, because both allow its reuse.
pub(super) struct Port {
    number: u16,
    _socket: Socket,
}

impl Port {
    pub(super) fn take() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        let number = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self {
            number,
            _socket: socket,
        }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl NatsServer {
    pub(super) async fn start() -> Self {
        let server = Self::spawn("");
        server.ready().await;
        server
    }

    /// Three servers that are one cluster, routes being up when streams can be made.
    pub(super) async fn start_cluster() -> Vec<Self> {
        let routes: Vec<_> = (0..3).map(|_| Port::take()).collect();
        let urls: Vec<_> = routes
            .iter()
            .map(|route| format!("\"nats-route://127.0.0.1:{}\"", route.number()))
            .collect();
        let servers: Vec<_> = routes
            .iter()
            .map(|route| {
                Self::spawn(&format!(
                    "cluster {{ name: tests, listen: \"127.0.0.1:{}\", routes: [{}] }}",
                    route.number(),
                    urls.join(", ")
                ))
            })
            .collect();
        for server in &servers {
            server.ready().await;
        }
        servers
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number)
    }

    /// Stops answering without closing a connection. The kill of the drop ends it all the same.
    pub(super) fn freeze(&self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::STOP).unwrap();
        // The signal is only sent by then: a thread of the server may still be answering.
        let stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    }

    fn spawn(extra: &str) -> Self {
        let port = Port::take();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("nats.conf");
        let text = format!(
            "server_name: \"nats-{0}\"\nlisten: \"127.0.0.1:{0}\"\njetstream {{ store_dir: \"{1}\" }}\n{extra}\n",
            port.number,
            directory.path().join("store").display()
        );
        std::fs::write(&config, text).unwrap();
        Self {
            port,
            process: launch(&config),
            directory,
        }
    }

    /// Kills the server and starts it again with a stream's messages lost, as on a disk that did not keep them.
    pub(super) async fn restart_without_messages(&mut self, stream: &str) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let streams = self.directory.path().join("store/jetstream/$G/streams");
        std::fs::remove_dir_all(streams.join(stream).join("msgs")).unwrap();
        self.process = launch(&self.directory.path().join("nats.conf"));
        self.ready().await;
    }

    async fn ready(&self) {
        let connected = async {
            while ConnectOptions::new().connect(self.url()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START_LIMIT, connected).await.expect("nats-server starts");
    }
}

fn launch(config: &Path) -> Child {
    Command::new(program())
        .arg("--config")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `NATS_SERVER`, the cache of `scripts/setup`, then `PATH`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return program.into();
    }
    let cache = std::env::var_os("NATTER_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/natter"))
    });
    cache
        .map(|cache| cache.join("bin/nats-server"))
        .filter(|program| program.is_file())
        .unwrap_or_else(|| "nats-server".into())
}
