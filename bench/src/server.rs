//! The server under test: one that runs already, or a gateway of our own for the time of the run.

use std::{
    cell::RefCell,
    env,
    io::{BufRead, BufReader},
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use http::Uri;
use serde_json::Value;

const START_LIMIT: Duration = Duration::from_secs(10);
/// The path of the Centrifuge protocol.
const PATH: &str = "/connection/websocket";
/// Of a gateway that listens on loopback for the time of one run.
const OWN_KEY: &str = "natter-bench-key";

/// The gateway to start.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct GatewayArgs {
    /// Program of the gateway to start [default: natter-gateway beside this program]
    #[arg(long, value_name = "FILE")]
    pub gateway: Option<PathBuf>,
    /// Its worker threads, 0 for one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub workers: usize,
    /// Any key of its configuration (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct Args {
    /// Server to drive, ws://host:port/path; without it a gateway is started
    #[arg(long, requires = "pid", conflicts_with_all = ["gateway", "workers", "set"])]
    url: Option<Uri>,
    /// Its process on this machine
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Key of its server API
    #[arg(long, requires = "url", default_value = "")]
    api_key: String,
    #[command(flatten)]
    own: GatewayArgs,
}

#[derive(Debug)]
pub struct Server {
    pub pid: u32,
    pub address: SocketAddr,
    /// Where its metrics are; `None` for a server that ran already.
    pub ops: Option<SocketAddr>,
    /// Of the WebSocket.
    pub path: String,
    pub api_key: String,
    child: RefCell<Option<Child>>,
}

impl Server {
    pub fn of(args: Args) -> anyhow::Result<Self> {
        let (Some(url), Some(pid)) = (&args.url, args.pid) else {
            return Self::start(&args.own);
        };
        let host = url.host().context("the URL has no host")?;
        let port = url.port_u16().context("the URL has no port")?;
        let address = (host, port).to_socket_addrs()?.next();
        Ok(Self {
            pid,
            address: address.with_context(|| format!("{host} has no address"))?,
            path: url.path().to_owned(),
            api_key: args.api_key,
            ops: None,
            child: RefCell::default(),
        })
    }

    /// Starts a gateway with its defaults on free ports, and waits until it listens.
    pub fn start(args: &GatewayArgs) -> anyhow::Result<Self> {
        let program = match &args.gateway {
            Some(program) => program.clone(),
            None => env::current_exe()?.with_file_name("natter-gateway"),
        };
        let mut command = Command::new(&program);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("NATTER_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--workers", &args.workers.to_string()])
            .args(args.set.iter().flat_map(|set| ["--set", set]))
            .env("NATTER_API_KEYS", OWN_KEY)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let logs = child.stderr.take().context("the gateway has no log")?;
        let mut server = Self {
            pid: child.id(),
            address: ([127, 0, 0, 1], 0).into(),
            ops: None,
            path: PATH.to_owned(),
            api_key: OWN_KEY.to_owned(),
            child: RefCell::new(Some(child)),
        };
        // Dropping the server ends the process when it does not listen in time.
        let (address, ops) = watch(logs)?;
        (server.address, server.ops) = (address, Some(ops));
        Ok(server)
    }

    /// Ends a gateway of our own as a crash would (SIGKILL).
    pub fn kill(&self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the log to its end, passing on what is not routine, and waits for the line that tells the addresses: for
/// clients, and of the ops port.
fn watch(logs: ChildStderr) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(logs).lines().map_while(Result::ok) {
            let fields: Value = serde_json::from_str(&line).unwrap_or_default();
            let field = |name| fields.get(name).and_then(Value::as_str);
            if field("message") == Some("listening") {
                let address = |name| field(name).and_then(|address| address.parse().ok());
                // Nobody listens after the first time.
                let _ = tell.send(address("public").zip(address("ops")));
            } else if !matches!(field("level"), Some("INFO" | "DEBUG" | "TRACE")) {
                eprintln!("gateway: {line}");
            }
        }
    });
    match told.recv_timeout(START_LIMIT) {
        Ok(addresses) => addresses.context("the gateway's log line has no addresses"),
        Err(_) => bail!("the gateway does not listen"),
    }
}
